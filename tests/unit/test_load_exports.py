"""Runs in the formats of other programs, read back by readers of those formats."""

from __future__ import annotations

import csv
import json
from typing import Any
from xml.etree import ElementTree

import msgspec
import pytest
from prometheus_client.parser import text_string_to_metric_families

from rackwright.core.load.result import WHOLE, Judgement, Part, RunResult, Second
from rackwright.core.load.track import recording
from rackwright.load.report.export import FORMATS
from rackwright.load.report.prometheus import FAMILIES
from rackwright.load.report.spreadsheet import COLUMNS
from rackwright.load.report.trends import trends
from tests.unit import load_runs


def _text(form: str, run: RunResult) -> str:
    return "".join(FORMATS[form](recording(run)))


def _junit(run: RunResult) -> ElementTree.Element:
    return ElementTree.fromstring(_text("junit", run))


def _samples(run: RunResult) -> dict[tuple[str, str, str], float]:
    families = text_string_to_metric_families(_text("prometheus", run))
    return {
        (sample.name, sample.labels.get("action", ""), sample.labels.get("quantile", "")): sample.value
        for family in families
        for sample in family.samples
    }


def _lines(run: RunResult) -> list[dict[str, str]]:
    return list(csv.DictReader(_text("csv", run).splitlines()))


def _json(run: RunResult) -> dict[str, Any]:
    read: dict[str, Any] = json.loads(_text("json", run))
    return read


@pytest.fixture(scope="module")
def run() -> RunResult:
    return load_runs.run(workloads=2)


def test_counts_read_back_are_the_run(run: RunResult) -> None:
    assert msgspec.json.decode(_text("counts", run), type=RunResult) == run


def test_counts_of_an_action_that_only_failed_read_back(run: RunResult) -> None:
    failed = Part()
    load_runs.take(failed, 1.0, 1.0, failed=True)
    alone = load_runs.run()
    alone.workloads[0].whole = {WHOLE: failed}
    alone.workloads[0].seconds = [Second(at=0, parts={WHOLE: failed})]
    assert msgspec.json.decode(_text("counts", alone), type=RunResult) == alone


def test_json_names_the_quantiles(run: RunResult) -> None:
    read = _json(run)
    assert [read["id"], read["status"], read["success"]] == ["run-1", "finished", False]
    latency, service, *actions = read["workloads"][0]["table"]
    assert list(latency["quantiles"]) == ["p50", "p90", "p95", "p99", "p99.9"]
    assert [latency["measure"], service["measure"], len(actions)] == ["latency", "service", 2]
    assert sum(point["done"] for point in read["workloads"][0]["timeline"]) == 40 * load_runs.RATE
    assert read["workloads"][0]["judgements"][0]["broken"] == [[20.0, 23.0], [37.0, None]]


def test_json_of_a_second_in_which_nothing_ended_has_no_quantiles(run: RunResult) -> None:
    stalled = _json(run)["workloads"][0]["timeline"][load_runs.STALL[0] + 1]
    assert [stalled["done"], stalled["latency"], stalled["heat"]] == [0, {}, []]


def test_junit_has_a_suite_for_each_workload_and_a_case_for_each_criterion(run: RunResult) -> None:
    root = _junit(run)
    assert [root.get(name) for name in ("tests", "failures", "errors")] == ["4", "2", "0"]
    assert [suite.get("name") for suite in root] == [f"Shop {n}: HttpRequests.check_request" for n in (0, 1)]
    [failure] = root[0].findall("testcase/failure")
    assert failure.get("message") == "1.25 % failed, at most 0 % may"
    assert str(failure.text).splitlines()[1:] == ["from 20 s to 23 s", "from 37 s to the end"]


def test_junit_of_a_run_that_was_aborted_has_an_error() -> None:
    aborted = load_runs.run(stall=False)
    aborted.status = "aborted_on_sla"
    root = _junit(aborted)
    assert [root.get("failures"), root.get("errors")] == ["0", "1"]
    assert root.find("testsuite/testcase/error") is not None


def test_junit_holds_whatever_a_service_says() -> None:
    strange = load_runs.run()
    strange.workloads[0].judgements = [Judgement(criterion="c", success=False, detail="a\x00b\x1b[31m <&> \ud800 é")]
    [failure] = _junit(strange).findall("testsuite/testcase/failure")
    assert failure.get("message") == "a\ufffdb\ufffd[31m <&> \ufffd é"


def test_a_workload_without_criteria_is_a_passed_case() -> None:
    free = load_runs.run()
    free.workloads[0].judgements = []
    root = _junit(free)
    assert [root.get("tests"), root.get("failures")] == ["1", "0"]
    assert len(root.findall("testsuite/testcase")) == 1


def test_csv_has_a_line_for_each_second_and_action(run: RunResult) -> None:
    lines = _lines(run)
    assert tuple(lines[0]) == COLUMNS
    whole = [line for line in lines if line["action"] == WHOLE]
    assert len(whole) == 80
    assert sum(int(line["total"]) for line in whole) == 2 * 40 * load_runs.RATE
    assert sum(int(line["intended"]) for line in whole) == 2 * 40 * load_runs.RATE
    assert {line["action"] for line in lines} == {WHOLE, "GET /", load_runs.SLOWEST}


def test_csv_leaves_empty_what_is_not_known(run: RunResult) -> None:
    stalled = next(line for line in _lines(run) if line["second"] == str(load_runs.STALL[0] + 1))
    assert [stalled["total"], stalled["latency_p50"], stalled["service_mean"]] == ["0", "", ""]


def test_csv_makes_no_formula_of_a_name() -> None:
    risky = load_runs.run()
    risky.workloads[0].name = "=HYPERLINK(1)"
    assert {line["workload"] for line in _lines(risky)} == {"'=HYPERLINK(1)"}


def test_prometheus_reads_the_file_and_every_metric_is_explained(run: RunResult) -> None:
    families = list(text_string_to_metric_families(_text("prometheus", run)))
    assert [family.name for family in families] == list(FAMILIES)
    assert all(family.type == "gauge" and family.documentation and family.samples for family in families)


def test_no_series_of_prometheus_comes_twice_even_where_names_do() -> None:
    twice = load_runs.run(workloads=2)
    twice.workloads[1].name = twice.workloads[0].name
    twice.workloads[0].judgements *= 2
    families = text_string_to_metric_families(_text("prometheus", twice))
    series = [(sample.name, *sorted(sample.labels.items())) for family in families for sample in family.samples]
    assert len(series) == len(set(series))


def test_two_limits_of_one_kind_hold_for_prometheus_if_both_do() -> None:
    run = load_runs.run()
    broken, held = run.workloads[0].judgements
    held.criterion = broken.criterion
    for judgements in ([broken, held], [held, broken]):
        run.workloads[0].judgements = judgements
        assert _samples(run)["rackwright_load_sla_success", "", ""] == 0


def test_prometheus_has_the_numbers_of_the_run() -> None:
    found = _samples(load_runs.run())
    assert found["rackwright_load_run_success", "", ""] == 0
    assert found["rackwright_load_iterations", WHOLE, ""] == 40 * load_runs.RATE
    assert found["rackwright_load_errors", load_runs.SLOWEST, ""] == 50
    assert found["rackwright_load_latency_seconds", "", "0.99"] == pytest.approx(2.61, rel=0.01)


def test_labels_of_prometheus_hold_any_text() -> None:
    strange = load_runs.run()
    strange.title = 'a "b" \\ c\nd'
    families = text_string_to_metric_families(_text("prometheus", strange))
    assert {sample.labels["title"] for family in families for sample in family.samples} == {strange.title}


def test_trends_follow_a_workload_from_the_oldest_run_to_the_newest() -> None:
    runs = [load_runs.run(f"r{n}", slow=1.0 + n, stall=False) for n in range(3)]
    for n, run in enumerate(runs):
        run.started_at += n
    [trend] = trends([recording(run) for run in runs[::-1]])
    assert [step.run for step in trend.steps] == ["r0", "r1", "r2"]
    assert trend.growth == pytest.approx(200, abs=2)


def test_a_trend_of_one_run_has_no_growth() -> None:
    [trend] = trends([recording(load_runs.run())])
    assert trend.growth is None
