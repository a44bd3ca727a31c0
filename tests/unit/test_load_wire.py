"""Seconds on their way from agents to the controller: encoded, divided, out of step, they merge to what one process
would have told."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rackwright.core.errors import Conflict, InvalidInput, NotAllowed, NotFound
from rackwright.core.load.counts import Counts
from rackwright.core.load.result import WHOLE, Part, Second
from rackwright.core.load.sla.judging import judge
from rackwright.load.distributed import messages
from rackwright.load.distributed.address import parts_of
from rackwright.load.distributed.clock import Clock
from rackwright.load.distributed.kept_rows import KeptRows
from rackwright.load.distributed.keys import AGENT, CONTROLLER, AgentKeys, ControllerKeys, make, read
from rackwright.load.distributed.messages import Delta, GiveRows, ListRows
from rackwright.load.distributed.sources import Sources, digest_of
from rackwright.load.merging import Merging
from rackwright.load.words import Report
from tests.unit.test_load_sla import CRITERIA, Ended, seconds_of, streams


def through_the_wire(seconds: list[Second], agent: int, dice: random.Random) -> list[Delta]:
    """An agent's deltas: each with some of its seconds, in order."""
    deltas: list[Delta] = []
    rest = list(seconds)
    while rest:
        amount = dice.randint(1, 3)
        some, rest = rest[:amount], rest[amount:]
        report = Report(upto=some[-1].at + 1.0, seconds=some)
        delta = Delta(session=str(agent), load=1, piece=0, number=len(deltas) + 1, at=report.upto, report=report)
        decoded = messages.seconds.decode(messages.pack(delta))
        assert isinstance(decoded, Delta)
        deltas.append(decoded)
    return deltas


@settings(max_examples=60, deadline=None)
@given(streams(), st.integers(1, 5), st.randoms(use_true_random=False))
def test_any_division_over_agents_is_judged_through_the_wire_as_one_process_would(
    stream: list[Ended], agents: int, dice: random.Random
) -> None:
    shares: list[list[Ended]] = [[] for _ in range(agents)]
    for event in stream:
        dice.choice(shares).append(event)
    queues = {agent: through_the_wire(seconds_of(share), agent, dice) for agent, share in enumerate(shares)}
    merging = Merging(queues)
    merged: list[Second] = []
    while queues:
        agent = dice.choice(sorted(queues))
        if queues[agent]:
            merged += merging.take(agent, queues[agent].pop(0).report)
        else:
            del queues[agent]
            merged += merging.leave(agent)
    whole = seconds_of(stream)
    assert [second.at for second in merged] == list(range(len(merged)))
    divided, single = judge(CRITERIA, merged), judge(CRITERIA, whole)
    assert [(j.success, j.broken, j.action) for j in divided] == [(j.success, j.broken, j.action) for j in single]


def test_a_second_keeps_all_that_it_holds_on_its_way() -> None:
    part = Part()
    part.add(0.2, 0.1, failed=True)
    part.add(3.0, 2.5)
    second = Second(at=7, parts={WHOLE: part, "login": Part()}, intended=3, started=2, missed=1, in_flight=4, cpu=0.5)
    second.lag = Counts({1: 2, 900_000: 1})
    delta = Delta(session="s", load=1, piece=2, number=3, at=8.0, report=Report(upto=8.0, seconds=[second]))
    assert messages.seconds.decode(messages.pack(delta)) == delta


def test_the_quickest_answer_tells_best_how_another_clock_stands() -> None:
    clock = Clock()
    for way in (0.5, 0.002, 0.3, 0.1, 0.2):
        assert not clock.known
        slow_back = 0.9 * way
        clock.read(100.0, 100.0 + way, 5000.0 + way, 3700.0 + way - slow_back, 8600.0 + way - slow_back)
    assert clock.known
    assert clock.ahead == pytest.approx(3600.0, abs=0.001)
    assert clock.wall_ahead == pytest.approx(3600.0, abs=0.001)
    assert clock.doubt == pytest.approx(0.001)


def test_keys_are_for_their_owner_alone_and_fit_each_other(tmp_path: Path) -> None:
    files = make(tmp_path / "keys")
    assert [file.stat().st_mode & 0o777 for file in files] == [0o600, 0o600]
    controller, agent = read(files[0], ControllerKeys), read(files[1], AgentKeys)
    assert agent.controller == controller.public
    assert controller.agents == (agent.public,)
    assert controller.token == agent.token
    with pytest.raises(Conflict, match="keys already"):
        make(tmp_path / "keys")


def test_keys_that_are_missing_mistaken_or_open_to_others_are_refused_with_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="rackwright load keys"):
        read(tmp_path / CONTROLLER, ControllerKeys)
    make(tmp_path)
    with pytest.raises(InvalidInput, match=AGENT):
        read(tmp_path / CONTROLLER, AgentKeys)
    (tmp_path / AGENT).chmod(0o644)
    with pytest.raises(NotAllowed, match="chmod 600"):
        read(tmp_path / AGENT, AgentKeys)


def test_a_scenario_s_file_is_kept_only_if_it_is_what_its_digest_says(tmp_path: Path) -> None:
    sources = Sources(tmp_path)
    text = b"class A: ..."
    with pytest.raises(InvalidInput, match="damaged"):
        sources.keep(digest_of(b"another"), text)
    assert not sources.has(digest_of(text))
    sources.keep(digest_of(text), text)
    assert sources.has(digest_of(text))
    assert sources.place(digest_of(text), "/elsewhere/own.py:A") == f"{tmp_path / digest_of(text)}.py:A"


def test_rows_of_the_last_run_alone_are_kept_and_nothing_outside_is_given(tmp_path: Path) -> None:
    rows = KeptRows(tmp_path / "rows")
    (tmp_path / "secret.msgpack.zst").write_bytes(b"secret")
    for run in ("one", "two"):
        folder = rows.folder(run, "000/a")
        folder.mkdir(parents=True)
        (folder / "000000.msgpack.zst").write_bytes(run.encode())
    assert rows.answer(ListRows("one")).paths == []
    assert rows.answer(ListRows("two")).paths == ["000/a/000000.msgpack.zst"]
    assert rows.answer(GiveRows("two", "000/a/000000.msgpack.zst")).chunk == b"two"
    assert rows.answer(GiveRows("two", "../../secret.msgpack.zst")).chunk == b""
    assert rows.answer(GiveRows("..", "secret.msgpack.zst")).chunk == b""


@pytest.mark.parametrize(
    "address", ["", "10.0.0.5:8430", "tcp://10.0.0.5", "tcp://10.0.0.5:x", "tcp://h:65535", "ipc://h:1"]
)
def test_what_is_no_address_of_a_controller_is_refused(address: str) -> None:
    with pytest.raises(InvalidInput, match="tcp://HOST:PORT"):
        parts_of(address)


def test_an_address_is_a_host_and_a_port() -> None:
    assert parts_of("tcp://10.0.0.5:8430") == ("tcp://10.0.0.5", 8430)
    assert parts_of("tcp://[::1]:*") == ("tcp://[::1]", 0)
