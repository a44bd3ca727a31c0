"""What a piece of work costs: seconds of processor and clock, and memory, with all processes that it starts. Linux."""

from __future__ import annotations

import gc
import os
import resource
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

import msgspec

Result = TypeVar("Result")

_PROC = Path("/proc")
_HAND_ON = ("scheduler", "serializer")
_TICKS = os.sysconf("SC_CLK_TCK")


class Cost(msgspec.Struct, frozen=True):
    """What a piece of work took: seconds of processor in all processes, seconds on the clock, and MiB of memory at the
    start and at the worst moment (of this process; ``worker_mib`` is the largest other one that has ended)."""

    cpu_s: float
    wall_s: float
    start_mib: float
    peak_mib: float
    worker_mib: float


def measured(work: Callable[[], Result]) -> tuple[Result, Cost]:
    """Do a piece of work; give its result and its cost. The collector of cycles does not walk through what is left of
    earlier work."""
    gc.collect()
    gc.freeze()
    _forget_peak()
    start, cpu, wall = _status_mib("VmRSS"), _cpu(), time.perf_counter()
    result = work()
    cpu, wall = _cpu() - cpu, time.perf_counter() - wall
    gc.unfreeze()
    worker = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    return result, Cost(cpu, wall, start, _status_mib("VmHWM"), worker)


def descendants(pid: int) -> list[int]:
    """Give the processes that a process has started, and those that they have started, and so on."""
    parents: dict[int, list[int]] = {}
    for child, fields in _processes().items():
        parents.setdefault(int(fields[1]), []).append(child)
    found = list(parents.get(pid, ()))
    for child in found:
        found.extend(parents.get(child, ()))
    return found


def seconds_by_process() -> dict[str, float]:
    """Seconds of processor so far of this process, ``client``, and of all that it has started and that live, by what
    they are and their number: ``scheduler`` and ``serializer`` only hand on, a ``worker`` computes."""
    processes = _processes()
    found = {"client": time.process_time()}
    for pid in descendants(os.getpid()):
        with suppress(OSError, KeyError):
            words = (_PROC / str(pid) / "cmdline").read_bytes().decode().split("\0")
            found[f"{_role(words)} {pid}"] = _ticks(processes[pid]) / _TICKS
    return found


def _role(words: list[str]) -> str:
    known = [word for word in words if word in _HAND_ON]
    return known[-1] if known else "worker"


def _cpu() -> float:
    """Seconds of processor so far: of this process, of its ended descendants, and of those that live."""
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    processes = _processes()
    ticks = sum(_ticks(processes[pid]) for pid in descendants(os.getpid()) if pid in processes)
    return time.process_time() + ended.ru_utime + ended.ru_stime + ticks / _TICKS


def _ticks(fields: list[str]) -> int:
    """Fields 12 to 15 after the name: own time as user and in the kernel, and the same of its ended children."""
    return sum(map(int, fields[11:15]))


def _processes() -> dict[int, list[str]]:
    """The fields of every process's ``stat`` after its name, which may hold spaces."""
    found = {}
    for folder in _PROC.iterdir():
        if folder.name.isdigit():
            with suppress(OSError):
                found[int(folder.name)] = (folder / "stat").read_text().rpartition(")")[2].split()
    return found


def _forget_peak() -> None:
    """Let the highest use of memory count from now on, where the kernel allows it."""
    with suppress(OSError):
        (_PROC / "self" / "clear_refs").write_text("5")


def _status_mib(name: str) -> float:
    lines = (_PROC / "self" / "status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith(f"{name}:"))
