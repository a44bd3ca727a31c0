from __future__ import annotations

import asyncio
import itertools
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from starlette.responses import Response

from rackwright.core.messages import Claim
from tests.integration.jig_conformance import processes_below
from tests.integration.rack_fake_api import FakeApi

COMMAND = "from rackwright.commands.rack import rack; rack()"


class RackProcess:
    """``rackwright rack`` as a real process, with its log in a file."""

    def __init__(self, api: FakeApi, folder: Path) -> None:
        self.api = api
        self.data = folder / "rack"
        self.log = folder / "rack.log"
        self.token = folder / "token"
        self.token.write_text("secret\n")
        self.process: asyncio.subprocess.Process | None = None

    async def start(self, *options: str) -> None:
        words = ["--name", "r1", "--api", self.api.url, "--token-file", str(self.token), "--data", str(self.data)]
        with self.log.open("ab") as log:
            self.process = await asyncio.create_subprocess_exec(
                sys.executable, "-c", COMMAND, *words, *options, stderr=log, stdin=asyncio.subprocess.DEVNULL
            )

    def send(self, number: signal.Signals) -> None:
        assert self.process is not None
        self.process.send_signal(number)

    async def ended(self) -> int:
        assert self.process is not None
        return await asyncio.wait_for(self.process.wait(), 60)

    async def kill(self) -> None:
        self.send(signal.SIGKILL)
        await self.ended()

    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.log.read_text().splitlines()]

    def said(self, event: str) -> list[dict[str, Any]]:
        return [line for line in self.lines() if event in line["event"]]


@pytest.fixture
async def api() -> AsyncIterator[FakeApi]:
    async with FakeApi().serving() as api:
        yield api


@pytest.fixture
async def rack(api: FakeApi, tmp_path: Path) -> AsyncIterator[RackProcess]:
    rack = RackProcess(api, tmp_path)
    yield rack
    if rack.process is not None and rack.process.returncode is None:
        rack.send(signal.SIGTERM)
        rack.send(signal.SIGINT)
        await rack.ended()
    assert processes_below(tmp_path) == []


def claim(number: int, jig: str = "noop", **more: Any) -> Claim:
    values: dict[str, Any] = {
        "id": number, "attempt": 1, "revision": 7, "deployment": "dev", "task": f"t{number}", "scope": f"n{number}",
        "address": "127.0.0.1", "jig": jig, "timeout": 30.0,
    }  # fmt: skip
    return Claim(**values | more)


def script(number: int, text: str, **more: Any) -> Claim:
    return claim(number, "script", parameters={"script": f"#!/bin/sh\n{text}\n"}, **more)


async def test_work_is_claimed_carried_out_and_reported_with_its_log(api: FakeApi, rack: RackProcess) -> None:
    await rack.start()
    await api.give(
        script(1, "echo hello; echo a.b=1 > $RACKWRIGHT_OUTPUT", writes=("a.b",)),
        script(2, "exit 75"),
        script(3, "echo c=1 > $RACKWRIGHT_OUTPUT", writes=("a.b",)),
        claim(4, "plasma"),
        claim(5, parameters={"facts": {"x": [1]}}, writes=("x",)),
    )
    await api.until(lambda: len(api.results) == 5 and api.last >= {1})
    outcomes = {result.id: result.outcome for result in api.results}
    reasons = {result.id: result.reason for result in api.results}
    assert outcomes == {1: "ok", 2: "retryable", 3: "failed", 4: "failed", 5: "ok"}
    assert next(result for result in api.results if result.id == 1).facts == {"a.b": "1"}
    assert {result.revision for result in api.results} == {7}
    assert "does not declare: c (declared: a.b)" in reasons[3]
    assert "no jig 'plasma' (it has: ansible, load, noop, script, service, ssh)" in reasons[4]
    assert bytes(api.logs[1]) == b"hello\n"
    await api.until(lambda: api.heartbeats)
    rack.send(signal.SIGTERM)
    assert await rack.ended() == 0
    assert os.listdir(rack.data / "work") == os.listdir(rack.data / "results") == os.listdir(rack.data / "logs") == []
    began = rack.said("attempt began")[0]
    assert {"ts", "level", "event", "service", "rack", "node", "task", "attempt"} <= set(began)
    assert (began["service"], began["rack"]) == ("rack", "r1")


async def test_what_is_parked_is_reported_and_forgotten(api: FakeApi, rack: RackProcess) -> None:
    await rack.start("--capacity", "1")
    said = '{"parked": {"until": 600, "reason": "waits", "until_fact": {"observed.os": "x"}}, "a.b": 1}'
    await api.give(script(1, f"echo '{said}' > $RACKWRIGHT_OUTPUT", writes=("a.b",)), claim(2))
    await api.until(lambda: len(api.results) == 2)
    first = next(result for result in api.results if result.id == 1)
    assert (first.outcome, first.reason, first.until) == ("parked", "waits", 600)
    assert first.until_fact == {"observed.os": "x"}
    assert first.facts == {"a.b": 1}
    rack.send(signal.SIGTERM)
    assert await rack.ended() == 0
    assert os.listdir(rack.data / "work") == os.listdir(rack.data / "results") == []


async def test_a_log_is_streamed_while_the_task_runs(api: FakeApi, rack: RackProcess) -> None:
    await rack.start()
    await api.give(script(1, "echo one; sleep 60"))
    await api.until(lambda: api.logs[1] == b"one\n")
    assert 1 not in api.last


@pytest.mark.parametrize("generous", [False, True])
async def test_no_more_than_the_capacity_run_at_once(
    api: FakeApi, rack: RackProcess, tmp_path: Path, generous: bool
) -> None:
    api.generous = generous
    await rack.start("--capacity", "2")
    steps = tmp_path / "steps"
    text = f"echo 1 >> {steps}; sleep 0.2; echo -1 >> {steps}"
    await api.give(*(script(number, text) for number in range(1, 6)))
    await api.until(lambda: len(api.results) == 5)
    assert max(itertools.accumulate(int(line) for line in steps.read_text().split())) == 2


async def test_results_bring_the_next_work_so_that_nobody_asks_for_it(api: FakeApi, rack: RackProcess) -> None:
    api.generous = True
    await api.give(*(claim(number) for number in range(1, 31)))
    await rack.start("--capacity", "1")
    await api.until(lambda: len(api.results) == 30)
    assert len(api.claimed_by) < 10


async def test_results_wait_on_the_disk_while_the_api_is_away(tmp_path: Path) -> None:
    api = FakeApi()
    async with api.serving():
        rack = RackProcess(api, tmp_path)
        await rack.start()
        await api.give(script(1, "sleep 0.5; echo late"), script(2, "sleep 0.6; echo later"))
        await api.until(lambda: not api.queue)
    async with asyncio.timeout(60):
        while len(list((tmp_path / "rack" / "results").glob("*.json"))) < 2:
            await asyncio.sleep(0.05)
    await rack.kill()
    await rack.start()
    assert api.results == []
    async with api.serving():
        await api.until(lambda: len(api.results) >= 2 and api.last == {1, 2})
        assert {(result.id, result.outcome) for result in api.results} == {(1, "ok"), (2, "ok")}
        assert (bytes(api.logs[1]), bytes(api.logs[2])) == (b"late\n", b"later\n")
        await api.until(lambda: len(set(api.claimed_by)) == 2)
        assert set(api.batches) == {api.claimed_by[0]}, "results keep the incarnation that made them"
        rack.send(signal.SIGTERM)
        assert await rack.ended() == 0


async def test_a_killed_rack_leaves_services_running_and_scripts_dead(
    api: FakeApi, rack: RackProcess, tmp_path: Path
) -> None:
    await rack.start()
    service = claim(1, "service", parameters={"command": ["sleep", "70"]})
    await api.give(service, script(2, "setsid sleep 71 & sleep 72"))
    await api.until(lambda: api.outcome(1) == "ok")
    while not any("sleep 71" in line for line in processes_below(tmp_path)):
        await asyncio.sleep(0.02)
    await rack.kill()
    await rack.start()
    await api.until(lambda: len(set(api.claimed_by)) == 2)
    assert processes_below(tmp_path) == ["sleep 70"]
    assert rack.said("service adopted")
    await api.give(service, script(2, "echo again", attempt=2))
    await api.until(lambda: api.outcome(2) == "ok" and len(api.results) == 3)
    assert len(rack.said("service adopted")) == 1
    assert not rack.said("service restarts")
    rack.send(signal.SIGTERM)
    assert await rack.ended() == 0
    assert processes_below(tmp_path) == []


async def test_draining_waits_for_short_work_and_gives_back_long_work(
    api: FakeApi, rack: RackProcess, tmp_path: Path
) -> None:
    await rack.start("--drain", "1.5")
    await api.give(script(1, "sleep 0.7; echo done"), script(2, "sleep 73"))
    await api.until(lambda: len(processes_below(tmp_path)) >= 4)
    rack.send(signal.SIGTERM)
    assert await rack.ended() == 0
    assert (api.outcome(1), api.outcome(2)) == ("ok", "retryable")
    assert "was stopped" in api.results[-1].reason
    assert api.last == {1, 2}
    assert processes_below(tmp_path) == []


async def test_a_second_signal_ends_it_at_once(api: FakeApi, rack: RackProcess, tmp_path: Path) -> None:
    await rack.start("--drain", "60")
    await api.give(
        script(1, "sleep 74"), claim(2, "service", parameters={"command": ["sh", "-c", "trap '' TERM; sleep 75"]})
    )
    await api.until(lambda: api.outcome(2) == "ok")
    rack.send(signal.SIGTERM)
    while not rack.said("rack stops"):
        await asyncio.sleep(0.05)
    rack.send(signal.SIGTERM)
    assert await rack.ended() == 0
    assert processes_below(tmp_path) == []
    spooled = [json.loads(path.read_text()) for path in (rack.data / "results").glob("*.json")]
    given = api.outcome(1) or spooled[0]["items"][0]["outcome"]
    assert given == "retryable"


async def test_what_the_api_cancels_is_killed_and_not_reported(api: FakeApi, rack: RackProcess, tmp_path: Path) -> None:
    await rack.start()
    await api.give(script(1, "sleep 76"))
    await api.until(lambda: any((1, 1) in beat.working for beat in api.heartbeats))
    api.cancel = [(1, 1)]
    await api.until(lambda: api.heartbeats[-1].working == [])
    assert processes_below(tmp_path) == []
    await api.give(claim(2))
    await api.until(lambda: api.outcome(2) == "ok")
    assert api.outcome(1) is None


@pytest.mark.parametrize("status", [401, 403])
async def test_a_refused_token_ends_it_with_5(api: FakeApi, rack: RackProcess, status: int) -> None:
    api.ill["claims"] = Response('{"title": "wrong token"}', status)
    await rack.start()
    assert await rack.ended() == 5
    (line,) = rack.said("token of rack r1 refused by")
    for part in (api.url, "wrong token", "rack add"):
        assert part in line["event"]


async def test_an_ill_api_is_asked_again(api: FakeApi, rack: RackProcess) -> None:
    api.ill = {
        "claims": Response("<html>", 200),
        "results": Response('{"title": "busy"}', 503),
        "heartbeat": Response("", 409),
        "logs": Response("", 500),
    }
    await rack.start()
    while not rack.said("request failed"):
        await asyncio.sleep(0.05)
    del api.ill["claims"]
    await api.give(script(1, "echo word"))
    while len({line["request"] for line in rack.said("request failed")}) < 4:
        await asyncio.sleep(0.05)
    api.ill.clear()
    await api.until(lambda: api.outcome(1) == "ok" and api.last == {1} and api.heartbeats)


async def test_one_result_that_is_refused_for_good_does_not_hold_back_the_others(
    api: FakeApi, rack: RackProcess
) -> None:
    api.ill["results"] = Response('{"title": "never"}', 422)
    await rack.start()
    await api.give(claim(1))
    while not rack.said("refused for good"):
        await asyncio.sleep(0.05)
    api.ill.clear()
    await api.give(claim(2))
    await api.until(lambda: api.outcome(2) == "ok")
    assert len(list((rack.data / "results").glob("*.refused"))) == 1


async def test_two_racks_do_not_share_a_data_folder(api: FakeApi, rack: RackProcess, tmp_path: Path) -> None:
    await rack.start()
    await api.until(lambda: api.claimed_by)
    second = RackProcess(api, tmp_path)
    await second.start()
    assert await second.ended() == 1
    assert second.said("another process works in this data folder")


async def test_an_empty_token_file_is_named(api: FakeApi, rack: RackProcess) -> None:
    rack.token.write_text("\n")
    await rack.start()
    assert await rack.ended() == 1
    assert rack.said(f"{rack.token}: there is no token")


async def test_who_waits_for_work_sends_no_heartbeats_until_there_is_some(api: FakeApi, rack: RackProcess) -> None:
    api.lease, api.patience = 2.0, 0.5
    await rack.start()
    await api.until(lambda: len(api.claimed_by) >= 8)
    # One with the first lease; a second where the host stood still for longer than a lease may wait.
    assert len(api.heartbeats) <= 2
    await api.give(script(1, "sleep 60"))
    await api.until(lambda: len([beat for beat in api.heartbeats if (1, 1) in beat.working]) >= 3)
