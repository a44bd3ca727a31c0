"""The processes of a site, as an operator sees them."""

from __future__ import annotations

import os
import signal
from typing import Any

from tests.acceptance.site import Site, eventually, is_alive


def services(site: Site) -> dict[str, dict[str, Any]]:
    """The processes that run, by name."""
    listed = site.run("service", "list", "-o", "json").json["items"]
    return {item["name"]: item for item in listed if item["state"] == "running"}


def test_every_process_of_a_site_is_listed_and_a_killed_one_is_replaced(site: Site) -> None:
    eventually(lambda: {"api 1", "conductor 1", "r1", "r2"} <= set(services(site)), "all processes are listed")
    conductor = services(site)["conductor 1"]
    assert is_alive(conductor["pid"])
    os.kill(conductor["pid"], signal.SIGKILL)
    eventually(
        lambda: services(site).get("conductor 1", conductor)["pid"] != conductor["pid"], "another conductor is listed"
    )


def test_the_list_is_a_table_for_people(site: Site) -> None:
    head, *lines = site.run("service", "list").stdout.splitlines()
    assert head.split() == ["KIND", "NAME", "HOST", "PID", "VERSION", "STATE", "STARTED", "SEEN", "LAG"]
    assert any(line.split()[:2] == ["rack", "r1"] for line in lines)


def test_a_reload_of_the_site_reaches_api_and_conductor(site: Site) -> None:
    before = services(site)
    os.kill(site.machine.pid, signal.SIGHUP)
    eventually(lambda: "settings and catalogs are read anew" in site.machine.log.read_text(), "the conductor reloads")
    eventually(lambda: '"catalogs are read anew' in site.machine.log.read_text(), "the api reloads")
    after = services(site)
    assert {name: after[name]["pid"] for name in before} == {name: item["pid"] for name, item in before.items()}
