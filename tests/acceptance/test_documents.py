"""The documents' commands, typed as they stand on the page, in the order of the page."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

from tests.acceptance.site import Ended, Site, eventually

DOCS = Path(__file__).resolve().parents[2] / "docs"
BLOCK = re.compile(r"```(\w+)\n(.*?)```", re.DOTALL)
BY_THE_SITE = re.compile(r"export |rackwright up |pgrep |kill -9 ")
"""Lines that the test carries out by other means: what is up already, and a kill that must hit this site only."""


def blocks(page: str) -> Iterator[tuple[str, str]]:
    """Kind and text of every block of a page."""
    yield from BLOCK.findall((DOCS / page).read_text(encoding="utf-8"))


def commands(page: str) -> Iterator[str]:
    """The lines that a reader types."""
    for kind, text in blocks(page):
        if kind == "console":
            yield from (line[2:] for line in text.splitlines() if line.startswith("$ "))


def typed(site: Site, line: str, folder: Path) -> Ended:
    """Type a line into a shell; it must end well."""
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    ended = subprocess.run(
        ["sh", "-c", line], cwd=folder, env={"PATH": path, "HOME": str(folder), "RACKWRIGHT_DATA": str(site.data)},
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=600, check=False,
    )  # fmt: skip
    assert ended.returncode == 0, f"{line} ended with {ended.returncode}: {ended.stdout}{ended.stderr}"
    return Ended(ended.returncode, ended.stdout, ended.stderr)


def kill_conductor(site: Site) -> None:
    """Kill this site's conductor, and wait for the new one."""
    killed = site.machine.targets()["conductor"]
    assert killed is not None
    os.kill(killed, signal.SIGKILL)
    eventually(lambda: site.machine.targets()["conductor"] not in (None, killed), "a new conductor")


def test_the_tutorial_can_be_followed_to_its_end(site: Site, tmp_path: Path) -> None:
    said = {}
    for line in commands("tutorial/first-cluster.md"):
        if line.startswith("kill -9 "):
            kill_conductor(site)
        elif line.startswith("curl "):
            with urllib.request.urlopen(line.split()[1], timeout=60) as answer:
                said[line] = answer.read().decode()
        elif not BY_THE_SITE.match(line):
            said[line] = typed(site, line, tmp_path).stdout
    change = next(text for line, text in said.items() if "plan messaging --set-node n3" in line)
    assert set(re.findall(r"on (\S+)", change)) == {"n3", "messaging"}, "the plan touches one node and the whole"
    routes = next(text for line, text in said.items() if line.startswith("curl "))
    assert '"num_routes"' in routes
    eventually(lambda: site.deployment("messaging")["state"] == "active", "messaging active after the kill")


def test_the_role_of_the_how_to_can_be_written_checked_and_run(site: Site, tmp_path: Path) -> None:
    """Goes on where the tutorial ended: its nodes are there."""
    names = iter(["catalog.yaml", "roles.yaml", "tasks.yaml", "scripts/page.sh"])
    (tmp_path / "hello" / "scripts").mkdir(parents=True)
    for kind, text in blocks("howto/write-a-role.md"):
        name = next(names, None) if kind in ("yaml", "sh") else None
        if name is not None:
            (tmp_path / "hello" / name).write_text(text, encoding="utf-8")
    for line in commands("howto/write-a-role.md"):
        typed(site, line, tmp_path)
    assert site.deployment("greetings")["state"] == "active"
    ran = [(run["scope"], run["task"]) for run in site.runs("greetings")]
    assert sorted(ran) == sorted(2 * [(node, task) for node in ("n1", "n2") for task in ("hello-page", "hello-server")])


def test_every_question_of_the_how_to_gets_an_answer(site: Site, tmp_path: Path) -> None:
    """Goes on where the tutorial ended."""
    (state,) = (text for kind, text in blocks("howto/explain-a-plan.md") if kind == "json")
    (tmp_path / "state.json").write_text(state, encoding="utf-8")
    said = {line: typed(site, line, tmp_path).stdout for line in commands("howto/explain-a-plan.md")}
    explained = next(text for line, text in said.items() if "-o json" in line and "explain" in line)
    found = json.loads(explained)
    assert (found["verdict"], found["last_run"]["outcome"]) == ("active", "active")
    assert {read["change"] for read in found["reads"]} == {"same"}
    assert next(text for line, text in said.items() if "--task" in line) == "false\n"
    assert next(text for line, text in said.items() if "--state" in line) == "true\n"
