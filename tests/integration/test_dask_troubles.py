"""The policy dask in trouble: workers that are killed, end, come late, change status or run old code."""

from __future__ import annotations

import gc
import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

import rackwright
from rackwright.core.errors import RackwrightError
from rackwright.engine.serialization.dask.archive import Archive
from rackwright.engine.serialization.dask.link import Link, Seen
from rackwright.engine.serialization.dask.policy import Dask
from rackwright.engine.serialization.policy import PolicySettings
from tests.integration.dask_cluster import Cluster, work_of

CHUNKS = [str(number).encode() for number in range(40)]
MARK = "time.sleep(0.02)\nreturn os.environ['MARK'].encode()"
PROVISIONED = ("--status", "provisioned")


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    cluster = Cluster(tmp_path)
    yield cluster
    cluster.end()


@pytest.fixture(scope="module")
def ranks(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Workers on nodes of different status, which no test harms."""
    cluster = Cluster(tmp_path_factory.mktemp("ranks"))
    known = {node: ("--status", status) for node, status in (("n1", "ready"), ("n2", "discovered"), ("n3", "error"))}
    cluster.workers({**known, "n4": ()})
    yield cluster
    cluster.end()


def appended(file: Path) -> str:
    """Lines of a function that notes each chunk that it was given."""
    return f"with open({str(file)!r}, 'a') as notes:\n    notes.write(chunk.decode() + '\\n')"


def test_the_chunks_of_a_killed_worker_are_answered_by_others(cluster: Cluster, tmp_path: Path) -> None:
    first, _ = cluster.workers({"n1": PROVISIONED, "n2": PROVISIONED})
    answers = Dask(cluster.settings(), work_of(tmp_path, "time.sleep(0.05)\nreturn chunk")).answers(b"", CHUNKS)
    given = [next(answers) for _ in range(5)]
    first.kill()
    assert [*given, *answers] == CHUNKS


def test_a_chunk_that_kills_workers_is_an_error_that_names_it_and_them(cluster: Cluster, tmp_path: Path) -> None:
    # The supervised workers come back each time; the process that computes is a child of the worker.
    cluster.start("n1", *PROVISIONED, "--workers", "2").until("serializer began", 2)
    work = work_of(tmp_path, "if chunk == b'7':\n    os.kill(os.getppid(), signal.SIGKILL)\nreturn chunk")
    with pytest.raises(RackwrightError, match=r"chunk 8 \(1 bytes\): 4 workers died .*node n1 \(provisioned\) at tls"):
        list(Dask(cluster.settings(), work).answers(b"", CHUNKS))


def test_a_worker_that_is_to_end_finishes_its_chunk_and_begins_no_other(cluster: Cluster, tmp_path: Path) -> None:
    leaving, _ = cluster.workers({"n1": PROVISIONED, "n2": PROVISIONED})
    notes = tmp_path / "notes"
    work = work_of(tmp_path, f"{appended(notes)}\ntime.sleep(0.2)\nreturn chunk")
    answers = Dask(cluster.settings(), work).answers(b"", CHUNKS[:20])
    given = [next(answers) for _ in range(2)]
    os.kill(leaving.process.pid, signal.SIGTERM)
    assert [*given, *answers] == CHUNKS[:20]
    assert leaving.process.wait(20) == 0
    assert sorted(notes.read_text().split(), key=int) == [chunk.decode() for chunk in CHUNKS[:20]]


def test_a_late_worker_with_an_old_copy_of_the_package_runs_the_new_code(cluster: Cluster, tmp_path: Path) -> None:
    old = tmp_path / "old"
    shutil.copytree(Path(rackwright.__file__).parent, old / "rackwright", ignore=shutil.ignore_patterns("__pycache__"))
    (old / "rackwright" / "__init__.py").write_text('__version__ = "0.0.0-old"\n')
    work = work_of(tmp_path, "time.sleep(0.02)\nreturn f\"{rackwright.__version__} {os.environ['MARK']}\".encode()")
    cluster.worker("n1", *PROVISIONED)
    seen: set[bytes] = set()
    late = []

    def chunks() -> Iterator[bytes]:
        yield b""
        late.append(cluster.worker("n2", *PROVISIONED, PYTHONPATH=str(old)))
        while len(seen) < 2:
            yield b""

    for answer in Dask(cluster.settings(), work).answers(b"", chunks()):
        seen.add(answer)
    assert seen == {f"{rackwright.__version__} {node}".encode() for node in ("n1", "n2")}
    assert len(late[0].lines("archive kept")) == 1


def test_only_workers_on_nodes_of_an_allowed_status_are_used(ranks: Cluster, tmp_path: Path) -> None:
    control = ranks.worker("c1", "--control")
    work = work_of(tmp_path, MARK)

    def used(settings: PolicySettings) -> set[bytes]:
        return set(Dask(settings, work).answers(b"", CHUNKS))

    try:
        assert used(ranks.settings()) == {b"n2", b"n3", b"c1"}
        assert used(ranks.settings(use_ready=True, use_error=False, use_discovered=False)) == {b"n1", b"c1"}
    finally:
        control.end()


def test_without_a_worker_that_may_be_used_the_error_names_those_that_are_there(ranks: Cluster, tmp_path: Path) -> None:
    settings = ranks.settings(grace=0.7, use_discovered=False, use_error=False)
    with pytest.raises(RackwrightError) as raised:
        list(Dask(settings, work_of(tmp_path, MARK)).answers(b"", CHUNKS))
    assert "node n1 (ready) at tls://" in str(raised.value)
    assert ": use_ready is off" in str(raised.value)
    assert "node n4 (no status) at tls://" in str(raised.value)


def test_a_run_whose_workers_are_all_gone_ends_with_an_error(cluster: Cluster, tmp_path: Path) -> None:
    worker = cluster.worker("n1", *PROVISIONED)
    answers = Dask(cluster.settings(grace=0.7), work_of(tmp_path, MARK)).answers(b"", CHUNKS)
    next(answers)
    worker.kill()
    with pytest.raises(RackwrightError, match=r"no worker may be used since 0.7 s: there are no workers"):
        list(answers)


def test_a_status_that_changes_during_a_run_holds_for_new_chunks(cluster: Cluster, tmp_path: Path) -> None:
    status = tmp_path / "status"
    status.write_text("provisioned\n")
    cluster.worker("n1", "--status-file", str(status))
    work = work_of(tmp_path, MARK)
    seen: list[bytes] = []

    def chunks() -> Iterator[bytes]:
        yield b""
        yield b""
        cluster.worker("n2", *PROVISIONED)
        status.write_text("ready\n")
        while seen[-20:] != [b"n2"] * 20:
            yield b""

    for answer in Dask(cluster.settings(), work).answers(b"", chunks()):
        seen.append(answer)
    assert b"n1" in seen


def test_a_link_that_is_closed_while_it_reaches_its_workers_leaves_no_socket(ranks: Cluster) -> None:
    for moment in range(0, 30, 3):
        with Link(ranks.address, ranks.certificates, Archive("", b"")) as link:
            while not isinstance(event := link.hear(1), Seen):
                pass
            for worker in event.workers:
                link.supply(worker)
                link.send(worker, b"")
            link.hear(moment / 1000)
    # One that was left would be told of now, as an error.
    gc.collect()


def test_a_scheduler_that_dies_and_comes_back_changes_nothing(cluster: Cluster, tmp_path: Path) -> None:
    cluster.workers({"n1": PROVISIONED, "n2": PROVISIONED})
    work = work_of(tmp_path, "time.sleep(0.05)\nreturn chunk")
    answers = Dask(cluster.settings(), work).answers(b"", CHUNKS)
    given = [next(answers) for _ in range(5)]
    cluster.scheduler.kill()
    cluster.start_scheduler()
    assert [*given, *answers] == CHUNKS


def test_a_worker_outlives_its_scheduler_and_ends_when_told(cluster: Cluster) -> None:
    worker = cluster.worker("n1", *PROVISIONED)
    cluster.scheduler.kill()
    worker.until("the scheduler is gone")
    assert worker.end() == 0
