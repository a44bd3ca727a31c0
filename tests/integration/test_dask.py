"""The policy dask with real processes: the same bytes as the others, whoever answers, and errors in words."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from threading import Thread

import msgspec
import pytest

from rackwright.core.errors import RackwrightError
from rackwright.core.resolution import Member
from rackwright.engine.catalogs.read import read_catalog
from rackwright.engine.serialization import State, graph_of, serialize
from rackwright.engine.serialization.dask.policy import Dask
from rackwright.engine.serialization.policy import Policy, Serial
from rackwright.engine.serialization.processes import Processes
from tests.integration.dask_cluster import Cluster, eventually, work_of

CHUNKS = [str(number).encode() for number in range(40)]
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


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Two workers, which no test harms."""
    cluster = Cluster(tmp_path_factory.mktemp("cluster"))
    cluster.workers({node: ("--status", "provisioned") for node in ("n1", "n2")})
    yield cluster
    cluster.end()


def test_three_policies_give_the_same_bytes_and_an_archive_is_sent_once(cluster: Cluster, tmp_path: Path) -> None:
    before = [len(worker.lines("archive kept")) for worker in cluster.running[1:]]
    work = work_of(tmp_path, "return hashlib.sha256(setup + chunk).digest()")
    serial = list(Serial(lambda setup, chunk: hashlib.sha256(setup + chunk).digest()).answers(b"setup", CHUNKS))
    for policy in (Processes(2, 2, work), Dask(cluster.settings(), work), Dask(cluster.settings(), work)):
        assert list(policy.answers(b"setup", CHUNKS)) == serial
    kept = [len(worker.lines("archive kept")) for worker in cluster.running[1:]]
    assert kept == [count + 1 for count in before]
    assert list(Dask(cluster.settings(), work).answers(b"other", CHUNKS[:4])) != serial[:4]


def test_a_catalog_is_serialised_to_the_same_bytes_under_every_policy(cluster: Cluster, tmp_path: Path) -> None:
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


def test_a_chunk_whose_process_dies_is_tried_again_on_the_same_worker(cluster: Cluster, tmp_path: Path) -> None:
    died = tmp_path / "died"
    work = work_of(
        tmp_path,
        f"if chunk == b'7' and not Path({str(died)!r}).exists():\n"
        f"    Path({str(died)!r}).touch()\n    os.kill(os.getpid(), signal.SIGKILL)\nreturn chunk",
    )
    assert list(Dask(cluster.settings(), work).answers(b"", CHUNKS)) == CHUNKS
    assert died.exists()


def test_a_failing_function_is_an_error_with_its_words(cluster: Cluster, tmp_path: Path) -> None:
    with pytest.raises(RackwrightError, match="ValueError: no good"):
        list(Dask(cluster.settings(), work_of(tmp_path, "raise ValueError('no good')")).answers(b"", CHUNKS))


def test_at_most_load_coefficient_chunks_are_with_each_worker(cluster: Cluster, tmp_path: Path) -> None:
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
