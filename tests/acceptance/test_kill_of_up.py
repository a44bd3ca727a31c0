"""The supervisor itself dies: its processes end, the services of the nodes go on, the next one takes over."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.acceptance.site import CATALOGS, Site, eventually, is_alive


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return tmp_path.resolve()


@pytest.fixture
def first(data: Path) -> Iterator[Site]:
    site = Site(data)
    yield site
    if site.machine.child("api") is not None:
        site.end()


def test_after_a_kill_of_up_services_go_on_and_the_next_up_takes_them_over(first: Site, data: Path) -> None:
    nodes = first.add_nodes("u", 2, 4)
    first.run("catalog", "add", str(CATALOGS / "steady"))
    first.run("deployment", "create", "web", "--catalog", "steady")
    first.run("deployment", "apply", "web", "--bind", f"page={','.join(nodes)}", "--wait", "--timeout", "240s")
    services = {node: first.service_pid("web", node) for node in nodes}
    processes = [first.machine.child("api"), first.machine.child("conductor"), *first.machine.racks().values()]
    assert None not in processes
    first.kill()
    eventually(lambda: not any(pid is not None and is_alive(pid) for pid in processes), "the processes have ended")
    assert all(is_alive(pid) for pid in services.values())

    second = Site(data)
    try:
        assert second.deployment("web")["state"] == "active"
        second.run(
            "deployment", "apply", "web", "--set-node", f"{nodes[0]}:page.text=new", "--wait", "--timeout", "240s"
        )
        assert second.service_pid("web", nodes[0]) != services[nodes[0]]
        assert not is_alive(services[nodes[0]])
        assert second.service_pid("web", nodes[1]) == services[nodes[1]]
        assert is_alive(services[nodes[1]])
    finally:
        second.end()
    assert not is_alive(services[nodes[1]])
