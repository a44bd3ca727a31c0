"""``rackwright up --dask``: scheduler and workers are kept, found through the data folder, and end with the rest."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from rackwright.commands.configuration import own_scheduler, read_policy
from rackwright.commands.demo_ground import free_port
from rackwright.commands.tied import tied_environment
from rackwright.core.errors import InvalidInput
from rackwright.engine.serialization.dask.policy import Dask
from rackwright.engine.serialization.policy import PolicySettings, choose
from tests.integration.dask_cluster import PATIENCE, eventually, work_of

CHUNKS = [str(number).encode() for number in range(30)]


@pytest.fixture
def up(tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    words = ("up", "--data", str(tmp_path / "data"), "--port", str(free_port()), "--dask", "--dask-workers", "1")
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("RACKWRIGHT_")}
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "rackwright", *words],
            env={**inherited, **tied_environment(signal.SIGTERM)}, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
        )  # fmt: skip
    yield process
    process.terminate()
    process.wait(2 * PATIENCE)


def of_dask() -> dict[int, list[str]]:
    """The arguments of all processes of schedulers and workers of this machine."""
    found = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            words = (folder / "cmdline").read_bytes().decode(errors="replace").split("\0")
        except OSError:
            continue
        if "rackwright" in words and {"serializer", "scheduler"} & set(words):
            found[int(folder.name)] = words
    return found


def children(parent: int, word: str) -> list[int]:
    """The processes among them that ``up`` started and whose arguments have this word."""
    return [
        pid
        for pid, words in of_dask().items()
        if word in words and f"\nPPid:\t{parent}\n" in Path(f"/proc/{pid}/status").read_text()
    ]


def test_up_runs_a_scheduler_and_workers_keeps_them_and_ends_them(up: subprocess.Popen[bytes], tmp_path: Path) -> None:
    data = tmp_path / "data"
    eventually(lambda: "everything runs" in (tmp_path / "log").read_text(), (tmp_path / "log").read_text())
    settings = read_policy({"data": data, "policy": "dask"}, {})
    assert {stat.S_IMODE(path.stat().st_mode) for path in (data / "dask").glob("*.*")} == {0o600}
    assert choose(10, settings).name == "dask"
    policy = Dask(settings, work_of(tmp_path, "return chunk"))
    assert list(policy.answers(b"", CHUNKS)) == CHUNKS

    (worker,) = children(up.pid, "serializer")
    (scheduler,) = children(up.pid, "scheduler")
    os.kill(scheduler, signal.SIGKILL)
    os.kill(worker, signal.SIGKILL)
    eventually(lambda: children(up.pid, "serializer") not in ([], [worker]), "a new worker")
    assert list(policy.answers(b"", CHUNKS)) == CHUNKS

    kept = [*children(up.pid, "serializer"), *children(up.pid, "scheduler")]
    up.terminate()
    assert up.wait(2 * PATIENCE) == 0
    assert [pid for pid in kept if Path(f"/proc/{pid}").exists()] == []
    assert own_scheduler(data) == ""


def test_settings_of_serialisation_come_from_the_file_and_the_environment(tmp_path: Path) -> None:
    (tmp_path / "rackwright.toml").write_text(
        '[serialization]\npolicy = "dask"\nscheduler = "tls://10.0.0.5:8421"\nuse_ready = true\ngrace = 3\n'
    )
    settings = read_policy({"data": tmp_path}, {"RACKWRIGHT_LOAD_COEFFICIENT": "5", "RACKWRIGHT_USE_ERROR": "false"})
    assert settings == PolicySettings(
        policy="dask", scheduler="tls://10.0.0.5:8421", certificates=tmp_path / "dask", load_coefficient=5,
        use_ready=True, use_error=False, grace=3.0,
    )  # fmt: skip


def test_without_a_scheduler_of_its_own_a_data_folder_names_none(tmp_path: Path) -> None:
    assert read_policy({"data": tmp_path}, {}) == PolicySettings(certificates=tmp_path / "dask")


def test_a_wrong_setting_of_serialisation_is_told_with_its_place(tmp_path: Path) -> None:
    (tmp_path / "rackwright.toml").write_text("[serialization]\nuse_broken = true\n")
    with pytest.raises(InvalidInput, match=r"\[serialization\]: no such setting: use_broken"):
        read_policy({"data": tmp_path}, {})
