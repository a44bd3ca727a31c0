"""``rackwright load report``, ``export`` and ``trends`` on files."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner, Result

from rackwright.cli.main import cli
from rackwright.core.load.result import RunResult
from rackwright.load.run_folder import RunFolder
from tests.unit import load_runs


@pytest.fixture
def runs(tmp_path: Path) -> list[str]:
    """Two runs on disk: the second is slower."""
    paths = []
    for number, slow in enumerate((1.0, 2.0)):
        run = load_runs.run(f"run-{number}", slow=slow, stall=False)
        run.started_at += number
        run.workloads[0].started_at += number
        path = tmp_path / f"run-{number}.json"
        path.write_bytes(msgspec.json.encode(run))
        paths.append(str(path))
    return paths


def _do(*words: str) -> Result:
    return CliRunner().invoke(cli, ["load", *words])


def test_a_report_is_one_file_and_its_verdict_is_told(runs: list[str], tmp_path: Path) -> None:
    page = tmp_path / "report.html"
    result = _do("report", runs[1], "--against", runs[0], "--html", str(page))
    assert result.exit_code == 0, result.output
    assert "run-1 passed" in result.stderr
    assert result.stdout == ""
    assert "Compared with run-0" in page.read_text()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["report.html", "run-0.json", "run-1.json"]


def test_a_report_goes_to_stdout_alone(runs: list[str]) -> None:
    result = _do("report", runs[0], "--html", "-")
    assert result.stdout.lstrip().startswith("<!DOCTYPE html>")
    assert result.stderr == ""


@pytest.mark.parametrize("form", ["json", "counts", "junit", "csv", "prometheus"])
def test_every_format_is_written(runs: list[str], tmp_path: Path, form: str) -> None:
    out = tmp_path / "out"
    assert _do("export", runs[0], "--format", form, "--to", str(out)).exit_code == 0
    assert out.read_text() == _do("export", runs[0], "--format", form).stdout
    assert "Shop 0" in out.read_text()


def test_exported_counts_are_a_run_again(runs: list[str], tmp_path: Path) -> None:
    again = tmp_path / "again.json"
    assert _do("export", runs[0], "--format", "counts", "--to", str(again)).exit_code == 0
    assert _do("export", str(again), "--format", "json").stdout == _do("export", runs[0], "--format", "json").stdout


def test_trends_are_a_table_and_json(runs: list[str]) -> None:
    table = _do("trends", *runs[::-1]).stdout.splitlines()
    assert table[0].split()[:3] == ["WORKLOAD", "SCENARIO", "RUN"]
    assert ["run-0" in table[1], "run-1" in table[2], "+100" in table[2] or "+99" in table[2]] == [True, True, True]
    items = json.loads(_do("trends", *runs, "-o", "json").stdout)["items"]
    assert [item["run"] for item in items] == ["run-0", "run-1"]


def test_trends_are_a_page(runs: list[str], tmp_path: Path) -> None:
    page = tmp_path / "trends.html"
    assert _do("trends", *runs, "--html", str(page)).stdout == _do("trends", *runs).stdout
    assert page.read_text() == _do("trends", *runs, "--html", "-").stdout
    assert "run-1" in page.read_text()


def test_a_run_that_is_not_there_is_named(tmp_path: Path) -> None:
    result = _do("export", str(tmp_path / "none"), "--format", "csv")
    assert result.exit_code == 3
    assert str(tmp_path / "none") in result.stderr


def test_a_run_is_found_by_its_id_and_by_its_folder_also_while_it_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RACKWRIGHT_DATA", str(tmp_path))
    run = load_runs.run(workloads=2)
    run.status = "running"
    folder = RunFolder(tmp_path / "load" / "20260102-030405-abcd")
    folder.write(run)
    for number, workload in enumerate(run.workloads):
        for second in workload.seconds:
            folder.add_second(number, second)
    folder.close()
    told = json.loads(_do("export", "20260102", "--format", "json").stdout)
    assert [workload["table"][0]["total"] for workload in told["workloads"]] == [40 * load_runs.RATE] * 2
    counts = _do("export", str(folder.path), "--format", "counts").stdout
    assert msgspec.json.decode(counts, type=RunResult) == run
    assert "still running" in _do("report", "20260102", "--html", "-").stdout


@pytest.mark.parametrize("content", [b"", b"{}", b"\xff", b'{"id": 1}'])
def test_a_file_that_is_no_run_says_why_and_leaves_nothing(tmp_path: Path, content: bytes) -> None:
    bad, out = tmp_path / "bad.json", tmp_path / "out.html"
    bad.write_bytes(content)
    result = _do("report", str(bad), "--html", str(out))
    assert result.exit_code == 1
    assert "this is no run" in result.stderr
    assert not out.exists()


def test_a_page_that_cannot_be_written_is_told(runs: list[str], tmp_path: Path) -> None:
    result = _do("report", runs[0], "--html", str(tmp_path / "no" / "folder.html"))
    assert result.exit_code == 1
    assert "cannot be written" in result.stderr
