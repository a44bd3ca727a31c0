"""The policy dask with real processes: workers that are killed, end, come late, change status or run old code."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path
from threading import Thread

import msgspec
import pytest

import rackwright
from rackwright.core.errors import RackwrightError
from rackwright.core.resolution import Member
from rackwright.engine.catalogs.read import read_catalog
from rackwright.engine.serialization import State, graph_of, serialize
from rackwright.engine.serialization.dask.policy import Dask
from rackwright.engine.serialization.policy import Policy, PolicySettings, Serial
from rackwright.engine.serialization.processes import Processes
from tests.integration.dask_cluster import Cluster, eventually, work_of

CHUNKS = [str(number).encode() for number in range(40)]
MARK = "time.sleep(0.02)\nreturn os.environ['MARK'].encode()"
PROVISIONED = ("--status", "provisioned")
TASKS = """\
- id: all
  type: noop
  roles: [web]
  parameters: {text: {yaql_exp: "$node.toYaml()"}, name: {yaql_exp: "$.name"}}
- id: changed
  type: noop
  roles: [web]
  requires: [all]
  condition: {yaql_exp: "changed($.size) or changed($.sizes)"}
  parameters: {known: {yaql_exp: "$.size in $.sizes"}}
"""


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    cluster = Cluster(tmp_path)
    yield cluster
    cluster.end()


def appended(file: Path) -> str:
    """Lines of a function that notes each chunk that it was given."""
    return f"with open({str(file)!r}, 'a') as notes:\n    notes.write(chunk.decode() + '\\n')"


def test_three_policies_give_the_same_bytes_and_an_archive_is_sent_once(cluster: Cluster, tmp_path: Path) -> None:
    workers = [cluster.worker(node, *PROVISIONED) for node in ("n1", "n2")]
    work = work_of(tmp_path, "return hashlib.sha256(setup + chunk).digest()")
    serial = list(Serial(lambda setup, chunk: hashlib.sha256(setup + chunk).digest()).answers(b"setup", CHUNKS))
    for policy in (Processes(2, 2, work), Dask(cluster.settings(), work), Dask(cluster.settings(), work)):
        assert list(policy.answers(b"setup", CHUNKS)) == serial
    assert [len(worker.lines("archive kept")) for worker in workers] == [1, 1]
    assert list(Dask(cluster.settings(), work).answers(b"other", CHUNKS[:4])) != serial[:4]


def test_a_catalog_is_serialised_to_the_same_bytes_under_every_policy(cluster: Cluster, tmp_path: Path) -> None:
    for node in ("n1", "n2"):
        cluster.worker(node, *PROVISIONED)
    (tmp_path / "catalog").mkdir()
    (tmp_path / "catalog" / "tasks.yaml").write_text(TASKS)
    catalog = read_catalog(tmp_path / "catalog")
    nodes = {f"n{n}": {"uid": f"n{n}", "size": n % 3, "pad": "x" * 500} for n in range(300)}
    data = {"common": {"name": "c", "sizes": [1, 2]}, "nodes": nodes}
    old = {"common": {"name": "c", "sizes": [1]}, "nodes": dict(list(nodes.items())[:200])}
    state = msgspec.json.decode(json.dumps({"new": data, "old": old}).encode(), type=State)
    members = [Member(name, ("web",)) for name in nodes]
    tasks = graph_of(catalog.graphs, "deploy").tasks

    def encoded(policy: Policy) -> bytes:
        return serialize(tasks, members, state, policy=policy).encode()

    serial = encoded(Serial())
    assert len(serial) > 10_000
    assert encoded(Processes(2)) == serial
    assert encoded(Dask(cluster.settings())) == serial


def test_the_chunks_of_a_killed_worker_are_answered_by_others(cluster: Cluster, tmp_path: Path) -> None:
    first, _ = cluster.worker("n1", *PROVISIONED), cluster.worker("n2", *PROVISIONED)
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


def test_a_chunk_whose_process_dies_is_tried_again_on_the_same_worker(cluster: Cluster, tmp_path: Path) -> None:
    cluster.worker("n1", *PROVISIONED)
    died = tmp_path / "died"
    work = work_of(
        tmp_path,
        f"if chunk == b'7' and not Path({str(died)!r}).exists():\n"
        f"    Path({str(died)!r}).touch()\n    os.kill(os.getpid(), signal.SIGKILL)\nreturn chunk",
    )
    assert list(Dask(cluster.settings(), work).answers(b"", CHUNKS)) == CHUNKS
    assert died.exists()


def test_a_failing_function_is_an_error_with_its_words(cluster: Cluster, tmp_path: Path) -> None:
    cluster.worker("n1", *PROVISIONED)
    with pytest.raises(RackwrightError, match="ValueError: no good"):
        list(Dask(cluster.settings(), work_of(tmp_path, "raise ValueError('no good')")).answers(b"", CHUNKS))


def test_a_worker_that_is_to_end_finishes_its_chunk_and_begins_no_other(cluster: Cluster, tmp_path: Path) -> None:
    leaving, _ = cluster.worker("n1", *PROVISIONED), cluster.worker("n2", *PROVISIONED)
    notes = tmp_path / "notes"
    work = work_of(tmp_path, f"{appended(notes)}\ntime.sleep(0.2)\nreturn chunk")
    answers = Dask(cluster.settings(), work).answers(b"", CHUNKS[:20])
    given = [next(answers) for _ in range(2)]
    os.kill(leaving.process.pid, signal.SIGTERM)
    assert [*given, *answers] == CHUNKS[:20]
    assert leaving.process.wait(20) == 0
    assert sorted(notes.read_text().split(), key=int) == [chunk.decode() for chunk in CHUNKS[:20]]


def test_at_most_load_coefficient_chunks_are_with_each_worker(cluster: Cluster, tmp_path: Path) -> None:
    for node in ("n1", "n2"):
        cluster.worker(node, *PROVISIONED)
    gate, pulled = tmp_path / "gate", [0]

    def chunks() -> Iterator[bytes]:
        for chunk in CHUNKS:
            pulled[0] += 1
            yield chunk

    work = work_of(tmp_path, f"while not Path({str(gate)!r}).exists(): time.sleep(0.01)\nreturn chunk")
    given: list[bytes] = []
    policy = Dask(cluster.settings(load_coefficient=3), work)
    reader = Thread(target=lambda: given.extend(policy.answers(b"", chunks())))
    reader.start()
    eventually(lambda: pulled[0] >= 2 * 3, "both workers full")
    reader.join(0.5)
    held = pulled[0]
    gate.touch()
    reader.join()
    assert held == 2 * 3
    assert given == CHUNKS


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


def test_only_workers_on_nodes_of_an_allowed_status_are_used(cluster: Cluster, tmp_path: Path) -> None:
    cluster.start("n1", "--status", "ready")
    cluster.start("n2", "--status", "discovered")
    cluster.start("n3", "--status", "error")
    cluster.start("c1", "--control")
    for worker in cluster.running[1:]:
        worker.until("serializer began")
    work = work_of(tmp_path, MARK)

    def used(settings: PolicySettings) -> set[bytes]:
        return set(Dask(settings, work).answers(b"", CHUNKS))

    assert used(cluster.settings()) == {b"n2", b"n3", b"c1"}
    assert used(cluster.settings(use_ready=True, use_error=False, use_discovered=False)) == {b"n1", b"c1"}


def test_without_a_worker_that_may_be_used_the_error_names_those_that_are_there(
    cluster: Cluster, tmp_path: Path
) -> None:
    cluster.worker("n1", "--status", "ready")
    cluster.worker("n2")
    with pytest.raises(RackwrightError) as raised:
        list(Dask(cluster.settings(grace=0.7), work_of(tmp_path, MARK)).answers(b"", CHUNKS))
    assert "node n1 (ready) at tls://" in str(raised.value)
    assert ": use_ready is off" in str(raised.value)
    assert "node n2 (no status) at tls://" in str(raised.value)


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


def test_a_scheduler_that_dies_and_comes_back_changes_nothing(cluster: Cluster, tmp_path: Path) -> None:
    for node in ("n1", "n2"):
        cluster.worker(node, *PROVISIONED)
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
