"""Processes that a jig starts, finds again after a restart of the rack, and ends with all of their descendants.

A descendant is known by its session, or by a variable of its environment that it inherited: so one that made a session
of its own is found as well.
"""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import IO

import msgspec

from rackwright.core.errors import Permanent, Retryable
from rackwright.drivers.jig import procfs

kill_patience = 5.0
"""Seconds after which a process that does not die of SIGKILL is given up (it hangs in the kernel)."""


class Identity(msgspec.Struct, frozen=True):
    """Names one process of one boot for good. It leads a session of its own, whose number is ``pid``. ``mark`` is the
    ``NAME=value`` in the environment of it and its descendants."""

    pid: int
    start: int
    boot: str
    mark: str

    @property
    def alive(self) -> bool:
        """Whether that very process still runs."""
        stat = procfs.read_stat(self.pid)
        return stat is not None and stat.alive and stat.start == self.start and self.boot == procfs.boot_id()


@dataclass
class Process:
    """A process that runs, started by us or by an earlier process of the rack."""

    identity: Identity
    popen: subprocess.Popen[bytes] | None = None
    """None for an adopted process: it is not our child, so nobody tells us its exit code."""

    async def wait(self) -> int | None:
        """Wait for its end; gives the exit code (negative: the signal that killed it), None when it is not known."""
        try:
            descriptor = os.pidfd_open(self.identity.pid)
        except ProcessLookupError:
            return self._exit_code()
        try:
            if self.popen is not None or self.identity.alive:
                await _readable(descriptor)
        finally:
            os.close(descriptor)
        return self._exit_code()

    def send(self, number: signal.Signals) -> None:
        """Send a signal to this process alone; nothing when it has ended."""
        if self.identity.alive:
            _send(self.identity.pid, number)

    def reap(self) -> None:
        """Let go of the exit code of a process that was killed, so that it does not stay as a zombie."""
        if self.popen is not None:
            self.popen.poll()

    def _exit_code(self) -> int | None:
        return self.popen.wait() if self.popen is not None else None


def start(words: Sequence[str], env: Mapping[str, str], folder: str, output: int | IO[bytes], mark: str) -> Process:
    """Start a program in a new session: no input, both outputs to ``output``. ``env`` must hold ``mark``.

    Raises ``Permanent`` when there is no such program, or it cannot be run; ``Retryable`` when the machine is short of
    memory or processes.
    """
    try:
        popen = subprocess.Popen(
            list(words), env=dict(env), cwd=folder, stdin=subprocess.DEVNULL, stdout=output,
            stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip
    except (BlockingIOError, MemoryError) as error:
        raise Retryable(
            f"no process could be started: {error}", mend="the machine is short of memory or processes"
        ) from error
    except (OSError, ValueError) as error:
        raise Permanent(f"{words[0]!r} could not be started: {error}", mend=_start_mend(error)) from error
    stat = procfs.read_stat(popen.pid)
    begin = stat.start if stat is not None else 0
    return Process(Identity(popen.pid, begin, procfs.boot_id(), mark), popen)


def adopt(identity: Identity) -> Process | None:
    """The process that was recorded by an earlier process of the rack; None when it runs no more."""
    return Process(identity) if identity.alive else None


def family(identity: Identity) -> list[procfs.ProcessStat]:
    """All living processes of the session and all that carry the mark, the leader included."""
    leader = procfs.read_stat(identity.pid)
    session_is_ours = identity.boot == procfs.boot_id() and (leader is None or leader.start == identity.start)
    mark = identity.mark.encode()

    def belongs(stat: procfs.ProcessStat) -> bool:
        if stat.start < identity.start or stat.pid == os.getpid():
            return False
        return (session_is_ours and stat.session == identity.pid) or mark in procfs.read_environ(stat.pid)

    return [stat for stat in procfs.live_processes() if belongs(stat)]


def bearers(prefix: str) -> list[procfs.ProcessStat]:
    """All living processes with a variable of the environment that begins with ``prefix`` (``NAME=value``)."""
    wanted = prefix.encode()
    others = (stat for stat in procfs.live_processes() if stat.pid != os.getpid())
    return [stat for stat in others if any(line.startswith(wanted) for line in procfs.read_environ(stat.pid))]


async def kill_all(find: Callable[[], list[procfs.ProcessStat]]) -> list[str]:
    """Kill what ``find`` finds, again and again until it finds nothing: a process may fork while it is hunted.

    Gives the command lines of the processes that were killed.
    """
    lines: dict[int, str] = {}
    deadline = asyncio.get_running_loop().time() + kill_patience
    while found := find():
        for stat in found:
            lines.setdefault(stat.pid, procfs.command_line(stat.pid))
            _send(stat.pid, signal.SIGKILL)
        if asyncio.get_running_loop().time() > deadline:
            break
        await asyncio.sleep(0.01)
    return list(lines.values())


def _send(pid: int, number: signal.Signals) -> None:
    try:
        os.kill(pid, number)
    except (ProcessLookupError, PermissionError):
        return


async def _readable(descriptor: int) -> None:
    """A pidfd becomes readable when its process ends: pidfd_open(2)."""
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()
    loop.add_reader(descriptor, ended.set)
    try:
        await ended.wait()
    finally:
        loop.remove_reader(descriptor)


def _start_mend(error: OSError | ValueError) -> str:
    if isinstance(error, FileNotFoundError):
        return "name a program that is on the rack's machine; also see that the file has no Windows line ends"
    if isinstance(error, PermissionError):
        return "make the file executable"
    return "look at the command's words and variables"
