"""The agent against a door that decodes its words as the product does: it registers, works, and survives."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from rackwright.agent.loop import Agent
from rackwright.agent.settings import Settings
from rackwright.commands.demo_ground import free_port
from rackwright.core.machine_messages import AgentTask
from tests.integration.agent_door import TOKEN, AgentDoor, agent_door

Start = Callable[..., Agent]


@pytest.fixture
def door() -> Iterator[AgentDoor]:
    with agent_door() as opened:
        yield opened


@pytest.fixture
def start(door: AgentDoor, tmp_path: Path) -> Iterator[Start]:
    agents: list[tuple[Agent, threading.Thread]] = []

    def begin(system: str = "discovery", **more: Any) -> Agent:
        settings = Settings(door.url, "first-token", "request-1", system, "52:54:00:00:00:01")
        agent = Agent(settings, str(tmp_path / "spool"), **{"set_clock": lambda now: None, **more})
        thread = threading.Thread(target=agent.run, daemon=True)
        thread.start()
        agents.append((agent, thread))
        return agent

    yield begin
    for agent, thread in agents:
        agent.stop()
        thread.join(20)
        assert not thread.is_alive()


def script(id: int, text: str, attempt: int = 1, **more: Any) -> AgentTask:
    return AgentTask(id=id, attempt=attempt, action="script", parameters={"script": text + "\n", **more})


def test_it_registers_with_its_inventory_and_uses_the_token_that_it_is_given(door: AgentDoor, start: Start) -> None:
    start()
    door.wait(lambda: door.said["poll"])
    said = door.said["register"][0]
    assert (said.system, said.request, said.boot_mac) == ("discovery", "request-1", "52:54:00:00:00:01")
    assert said.inventory["cpu"]["threads"] >= 1
    assert said.inventory["memory"]["bytes"] > 0
    assert said.boot_id == Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    assert (door.tokens["register"][0], door.tokens["poll"][0]) == ("first-token", TOKEN)


def test_a_script_runs_with_its_inputs_and_gives_log_and_facts(door: AgentDoor, start: Start) -> None:
    text = "echo hello $COLOUR from $(cat $RACKWRIGHT_FILES/a/b)\necho tests.mine=good > $RACKWRIGHT_OUTPUT"
    door.tasks = [AgentTask(
        id=1, attempt=1, action="script", files={"a/b": "file"},
        parameters={"script": text, "inputs": {"colour": "blue"}},
    )]  # fmt: skip
    start()
    ended = door.result(1)
    assert (ended.outcome, ended.facts) == ("ok", {"tests.mine": "good"})
    assert door.log(1) == "hello blue from file\n"


@pytest.mark.parametrize(("text", "outcome"), [("exit 3", "failed"), ("exit 75", "retryable"), ("kill $$", "failed")])
def test_a_script_that_fails_says_how(door: AgentDoor, start: Start, text: str, outcome: str) -> None:
    door.tasks = [script(1, text)]
    start()
    assert door.result(1).outcome == outcome


def test_a_task_that_is_cancelled_ends_with_all_its_processes(door: AgentDoor, start: Start, tmp_path: Path) -> None:
    mark = tmp_path / "alive"
    door.tasks = [script(1, f"(while true; do touch {mark}; sleep 0.05; done) & wait")]
    start()
    door.wait(lambda: any((1, 1) in said.running for said in door.said["poll"]))
    door.cancel = [(1, 1)]
    assert door.result(1).reason == "it was cancelled"
    mark.unlink(missing_ok=True)
    time.sleep(0.3)
    assert not mark.exists()


def test_the_same_attempt_handed_out_again_starts_nothing_and_is_answered_again(
    door: AgentDoor, start: Start, tmp_path: Path
) -> None:
    count = tmp_path / "count"
    task = script(1, f"echo once >> {count}")
    door.tasks = [task]
    start()
    door.result(1)
    door.tasks = [task]
    door.wait(lambda: len(door.said["result"]) >= 2)
    assert count.read_text() == "once\n"


def test_a_result_that_the_rack_did_not_take_is_brought_again(door: AgentDoor, start: Start) -> None:
    door.refuse["result"] = [503, 500]
    door.tasks = [script(1, "true")]
    start()
    assert door.result(1).outcome == "ok"


def test_a_task_that_a_former_agent_left_is_owned_up_to(door: AgentDoor, start: Start, tmp_path: Path) -> None:
    (tmp_path / "spool" / "7-2").mkdir(parents=True)
    start()
    ended = door.result(7)
    assert (ended.attempt, ended.outcome) == (2, "retryable")


def test_a_void_token_makes_it_register_again(door: AgentDoor, start: Start) -> None:
    door.refuse["poll"] = [401]
    start()
    door.wait(lambda: len(door.said["register"]) >= 2 and door.said["poll"])


def test_a_clock_that_is_far_off_is_set_from_the_racks(door: AgentDoor, start: Start) -> None:
    door.clock = time.time() + 86400
    times: list[float] = []
    start(set_clock=times.append)
    door.wait(lambda: door.said["poll"])
    assert times == [door.clock]


def test_an_action_that_it_does_not_know_is_an_error_that_tells_which_it_knows(door: AgentDoor, start: Start) -> None:
    door.tasks = [AgentTask(id=1, attempt=1, action="dance")]
    start()
    assert "write-image" in door.result(1).reason


def test_a_change_of_the_hardware_is_told_with_a_poll(door: AgentDoor, start: Start) -> None:
    inventories = iter([{"cpu": 1, "nics": [], "system": {}}, {"cpu": 2, "nics": [], "system": {}}])
    agent = start(look=lambda: next(inventories))
    door.wait(lambda: door.said["poll"])
    agent.look_again()
    door.wait(lambda: any(said.facts == {"inventory.cpu": 2} for said in door.said["poll"]))


def test_the_action_inventory_tells_all_of_it(door: AgentDoor, start: Start) -> None:
    door.tasks = [AgentTask(id=1, attempt=1, action="inventory")]
    start()
    assert door.result(1).outcome == "ok"
    door.wait(lambda: any("inventory.disks" in said.facts for said in door.said["poll"]))


def test_an_installed_system_phones_home_before_all_else(door: AgentDoor, start: Start) -> None:
    admitted: list[str] = []

    def let_in(key: str) -> bool:
        admitted.append(key)
        return True

    start("installed", let_in=let_in)
    door.wait(lambda: door.said["poll"])
    assert admitted == ["ssh-ed25519 AAAA rackwright"]
    home = door.said["home"][0]
    assert (home.request, home.os["kernel"]) == ("request-1", Path("/proc/sys/kernel/osrelease").read_text().strip())
    assert door.said["register"][0].system == "installed"


def test_burn_in_of_processors_and_memory_passes_on_a_sound_machine(door: AgentDoor, start: Start) -> None:
    wanted = {"cpu": 0.1, "memory": 0.1, "memory_bytes": 4 << 20}
    door.tasks = [AgentTask(id=1, attempt=1, action="burnin", parameters=wanted)]
    start()
    ended = door.result(1)
    assert ended.outcome == "ok", ended.reason
    assert ended.facts["tests.cpu"]["passed"] is ended.facts["tests.memory"]["passed"] is True


def test_a_pair_measures_its_network(door: AgentDoor, start: Start) -> None:
    wanted = {"network": 0.2, "peer": "127.0.0.1", "port": free_port()}
    door.tasks = [AgentTask(id=1, attempt=1, action="burnin", parameters=wanted)]
    start()
    ended = door.result(1)
    assert ended.outcome == "ok", ended.reason
    assert ended.facts["tests.network"]["bits_per_second"]["received"] > 0
