"""A run as lines, and what the lines come to."""

from __future__ import annotations

import json

import msgspec
import pytest

from rackwright.api.loads import whole_lines
from rackwright.core.load import lines
from rackwright.core.load.result import Judgement, RunResult, WorkloadResult
from rackwright.core.load.track import recording
from rackwright.core.load.verdict import verdict, verdict_of
from rackwright.core.views import LogView
from rackwright.load.report.lines import Lines
from tests.unit import load_runs


def spoken(run: RunResult) -> list[str]:
    """All that a run says of itself."""
    said: list[str] = []
    for workload in run.workloads:
        workload.whole = load_runs.whole(workload.seconds)
        speaker = Lines(workload, said.append)
        speaker.begin(workload.name, duration=40.0)
        for second in workload.seconds:
            speaker.take(second)
        speaker.judge(workload.judgements)
        speaker.end()
    return [*said, msgspec.json.encode(lines.told(run, "/kept")).decode()]


def text(run: RunResult) -> bytes:
    return "\n".join(spoken(run)).encode() + b"\n"


def test_lines_are_objects_with_an_event_and_can_be_read_back() -> None:
    said = spoken(load_runs.run())
    events = [json.loads(line)["event"] for line in said]
    assert [events[0], *events[-2:]] == ["begin", "end", "result"]
    assert events.count("second") == 40
    assert [msgspec.json.encode(line).decode() for line in lines.lines(each.encode() for each in said)] == said


def test_words_of_programs_among_the_lines_are_passed_over() -> None:
    said = [b"Traceback ...", b'{"event": "else"}', b"\xff", *text(load_runs.run()).splitlines()]
    assert len(list(lines.lines(said))) == len(said) - 3


def test_a_verdict_names_the_second_in_which_a_promise_broke_and_the_one_in_which_it_held_again() -> None:
    run = load_runs.run()
    (workload,) = run.workloads
    workload.judgements = [
        Judgement(criterion="failure_rate", success=False, detail="60 %, at most 1 %", broken=[(20.0, 23.0)]),
        Judgement(criterion="throughput", success=False, detail="3 /s", action="GET /", broken=[(37.0, None)]),
        Judgement(criterion="outliers", success=True, detail="0"),
    ]
    found = verdict(lines.lines(text(run).splitlines()))
    assert not found.success
    assert [(each.criterion, each.since, each.until) for each in found.breaches] == [
        ("failure_rate", 20.0, 23.0),
        ("throughput", 37.0, None),
    ]
    assert "failure_rate: 60 %, at most 1 %; it broke in second 20 and recovered in second 23" in str(found)
    assert "throughput of GET /: 3 /s; it broke in second 37 and did not recover" in str(found)


def test_a_kept_promise_is_told_with_its_figures() -> None:
    run = load_runs.run()
    run.status = "finished"
    for workload in run.workloads:
        workload.judgements = []
    found = verdict(lines.lines(text(run).splitlines()))
    (figures,) = found.figures
    assert (found.success, found.run) == (True, run.id)
    assert (figures.total, figures.seconds, figures.rate) == (40 * load_runs.RATE, 40, load_runs.RATE)
    assert f"{figures.total:,} iterations, p99 " in str(found)


def test_a_run_that_is_over_comes_to_what_its_lines_come_to() -> None:
    run = load_runs.run()
    run.workloads[0].judgements.append(Judgement(criterion="outliers", success=False, detail="9", broken=[(3.0, None)]))
    assert verdict_of(recording(run)) == verdict(lines.lines(text(run).splitlines()))


def test_a_run_that_was_cut_off_is_no_success() -> None:
    begun = b'{"event":"begin","workload":0,"name":"Shop","scenario":"Dummy.dummy"}'
    found = verdict(lines.lines([begun]))
    assert (found.success, found.status, str(found)) == (False, "running", "the run is running")


def test_a_workload_in_which_nothing_ended_has_no_quantiles() -> None:
    over = lines.over(WorkloadResult(name="Shop", scenario="Dummy.dummy"))
    assert (over.total, over.latency) == (0, {})


@pytest.mark.parametrize("size", [1, 100, 3_000, 1 << 20])
def test_a_log_that_grows_gives_every_line_once(size: int) -> None:
    whole = text(load_runs.run())
    found, offset, asked = [], 0, 0
    while offset < len(whole):
        # The log grows meanwhile: each piece begins where the whole lines of the last one ended.
        asked += size
        end = min(max(offset, 0) + asked, len(whole))
        piece = LogView(attempt=1, offset=offset, next_offset=end, data=whole[offset:end], complete=end == len(whole))
        view = whole_lines(piece)
        asked = 0 if view.next_offset > offset else asked
        offset = view.next_offset
        found += view.lines
    assert found == list(lines.lines(whole.splitlines()))
