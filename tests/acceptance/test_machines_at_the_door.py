"""A rack that serves machines, as whole processes: a stranger boots, registers, works, and the rack dies on the way."""

from __future__ import annotations

import base64
import hashlib
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from rackwright.cli.settings import read_settings
from rackwright.commands.demo_ground import free_port
from tests.acceptance.site import CATALOGS, PATIENCE, Site, eventually

MAC = "52:54:00:00:00:07"
PARTS = {"kernel": b"K" * 5000, "ramdisk": b"R" * 3000}


class ServingRack:
    """`rackwright rack run --machines` as a process of its own, with nothing but the door: no DHCP, no TFTP."""

    def __init__(self, site: Site, folder: Path) -> None:
        self.site, self.folder, self.port = site, folder, free_port()
        site.run("rack", "add", "m1", "--save", str(folder / "token"))
        self.process = self._start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def _start(self) -> subprocess.Popen[bytes]:
        words = (
            *(
                "rack",
                "run",
                "--name",
                "m1",
                "--api",
                str(self.site.client.server),
                "--data",
                str(self.folder / "data"),
            ),
            *("--token-file", str(self.folder / "token"), "--machines", "--dhcp", "none", "--no-tftp"),
            *("--door-host", "127.0.0.1", "--door-port", str(self.port)),
        )
        with (self.folder / "rack.log").open("ab") as log:
            return subprocess.Popen([sys.executable, "-P", "-m", "rackwright", *words], stdout=log, stderr=log)

    def kill_and_start_again(self) -> None:
        self.process.kill()
        self.process.wait()
        self.process = self._start()

    def end(self) -> int:
        self.process.terminate()
        return self.process.wait(PATIENCE)


class PlayedAgent:
    """The agent of a machine, as far as these tests need one."""

    def __init__(self, rack: ServingRack) -> None:
        self.http = httpx.Client(base_url=rack.url, timeout=40, trust_env=False)
        self.running: list[tuple[int, int]] = []

    def post(self, verb: str, body: dict[str, Any]) -> dict[str, Any]:
        """Ask until the rack answers."""
        answers: list[httpx.Response] = []

        def asked() -> bool:
            try:
                answers.append(self.http.post(f"/agent/{verb}", json=body))
            except httpx.TransportError:
                return False
            return answers[-1].status_code != httpx.codes.SERVICE_UNAVAILABLE

        eventually(asked, f"an answer to {verb}")
        assert answers[-1].status_code == httpx.codes.OK, answers[-1].text
        found: dict[str, Any] = answers[-1].json()
        return found

    def register(self) -> str:
        said = {"macs": [MAC], "serial": "S7", "boot_id": "b1", "inventory": {"cpu": {"cores": 2}}}
        answer = self.post("register", said)
        self.http.headers["Authorization"] = f"Bearer {answer['token']}"
        return str(answer["node"])

    def poll(self) -> dict[str, Any]:
        work = self.post("poll", {"boot_id": "b1", "running": self.running, "wait": 1.0})
        self.running += [(task["id"], task["attempt"]) for task in work["tasks"]]
        return work

    def task(self) -> dict[str, Any]:
        works: list[dict[str, Any]] = []

        def there() -> bool:
            works.append(self.poll())
            return bool(works[-1]["tasks"])

        eventually(there, "work for the agent")
        found: dict[str, Any] = works[-1]["tasks"][0]
        return found

    def finish(self, task: dict[str, Any], value: str) -> None:
        pair = {"id": task["id"], "attempt": task["attempt"]}
        self.post("log", pair | {"offset": 0, "data": base64.b64encode(b"tended\n").decode()})
        self.post("result", pair | {"outcome": "ok", "facts": {"machine.tended": value}})
        self.running.remove((task["id"], task["attempt"]))


@pytest.fixture(scope="module")
def rack(site: Site, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServingRack]:
    made = ServingRack(site, tmp_path_factory.mktemp("rack"))
    yield made
    if made.process.poll() is None:
        assert made.end() == 0


@pytest.fixture
def agent(rack: ServingRack) -> Iterator[PlayedAgent]:
    made = PlayedAgent(rack)
    yield made
    made.http.close()


def import_image(site: Site) -> None:
    token, files = read_settings(None, None, {"RACKWRIGHT_DATA": str(site.data)}).token, []
    for part, data in PARTS.items():
        digest = hashlib.sha256(data).hexdigest()
        sent = httpx.put(
            f"{site.client.server}/api/v1/images/files/{digest}", content=data,
            headers={"Authorization": f"Bearer {token}"}, trust_env=False,
        )  # fmt: skip
        assert sent.is_success, sent.text
        files.append({"name": part, "part": part, "bytes": len(data), "sha256": digest})
    site.client.post("/images", {"name": "discovery", "version": "1", "kind": "discovery", "files": files})


def script(rack: ServingRack) -> str:
    try:
        return httpx.get(f"{rack.url}/boot/ipxe?mac={MAC}", trust_env=False, timeout=30).text
    except httpx.TransportError:
        return ""


def test_a_stranger_boots_registers_works_and_loses_nothing_when_the_rack_is_killed(
    site: Site, rack: ServingRack, agent: PlayedAgent
) -> None:
    eventually(lambda: "there is no image" in script(rack), "a script that says that there is no image yet")
    import_image(site)
    eventually(lambda: "is new here and boots discovery 1" in script(rack), "the discovery system")

    name = agent.register()
    assert f"{name} boots discovery 1" in script(rack)
    eventually(lambda: "cpu" in str(site.client.get(f"/nodes/{name}")), "the inventory in the api")

    site.run("catalog", "add", str(CATALOGS / "tended"))
    site.run("deployment", "create", "tended", "--catalog", "tended")
    site.run("deployment", "apply", "tended", "--bind", f"machine={name}")
    first = agent.task()
    assert (first["action"], first["parameters"]["script"]) == ("script", "echo tended\n")
    rack.kill_and_start_again()
    cancelled: list[list[int]] = []

    def told_to_end() -> bool:
        work = agent.poll()
        cancelled.extend(work["cancel"])
        return [first["id"], first["attempt"]] in cancelled

    eventually(told_to_end, "the agent is told to end the attempt of the dead rack")
    pairs = [pair for pair in agent.running if list(pair) not in cancelled]
    second = {"id": pairs[0][0], "attempt": pairs[0][1]} if pairs else agent.task()
    assert (second["id"], second["attempt"] > first["attempt"]) == (first["id"], True)
    agent.finish(second, "well")
    site.until_state("tended", "active")
    assert site.client.get(f"/nodes/{name}")["facts"]["machine.tended"] == "well"
    eventually(lambda: site.run("logs", "-d", "tended", name, "tended").stdout == "tended\n", "its log")


def test_a_rack_fetches_what_it_is_told_to_have_at_hand_and_says_so(site: Site, rack: ServingRack) -> None:
    site.run("image", "prefetch", "discovery", "--rack", "m1")
    digests = {hashlib.sha256(data).hexdigest() for data in PARTS.values()}
    kept = rack.folder / "data" / "machines" / "images"
    eventually(lambda: digests <= {path.name for path in kept.iterdir()}, "the files in the rack's cache")
    eventually(lambda: "files   2" in site.run("describe", "rack", "m1").stdout, "the rack's word of its cache")
    rates = {"facts": {"desired.rack.bandwidth": {"machines": 1 << 20}}}
    site.client.patch("/racks/m1", rates)
    told = "at most 1.0 MiB/s"
    eventually(lambda: told in site.run("describe", "rack", "m1").stdout, "the budget of bytes a second")
    for sha256 in digests:
        answer = httpx.get(f"{rack.url}/assets/{sha256}", trust_env=False, timeout=30)
        assert hashlib.sha256(answer.content).hexdigest() == sha256


def test_a_rack_with_waiting_agents_ends_at_once_when_it_is_told(rack: ServingRack, agent: PlayedAgent) -> None:
    agent.register()
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(agent.http.post, "/agent/poll", json={"boot_id": "b1", "wait": 25})
        time.sleep(2.0)
        assert rack.end() == 0
        assert waiting.result(PATIENCE).json() == {"tasks": [], "cancel": []}
