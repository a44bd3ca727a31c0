"""Programs that run to their end, each for one attempt: watched, bounded in time and words, ended with all that they
started."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import partial

import msgspec
import structlog

from rackwright.core.errors import DriverError, Permanent, Retryable
from rackwright.core.jig import Work
from rackwright.drivers.jig import surroundings
from rackwright.drivers.jig.capture import Capture, last_lines
from rackwright.drivers.jig.process import Identity, Process, bearers, family, kill_all, start

temporary_failure = 75
"""The exit code by which a program asks to be tried again: EX_TEMPFAIL of sysexits.h."""

leaving_time = 0.5
"""Seconds that children may take to end after the program itself."""

log = structlog.get_logger()


class Programs:
    """Runs programs; ``folder`` keeps a record of each process, so that a restarted rack can end what was left."""

    def __init__(self, folder: str) -> None:
        self.folder = os.path.join(folder, "running")

    async def open(self) -> None:
        """Kill the programs of a former process of this rack: their attempts run again from the beginning."""
        os.makedirs(self.folder, mode=0o700, exist_ok=True)
        killed = await kill_all(partial(bearers, f"RACKWRIGHT_MARK={self.folder}/"))
        for name in os.listdir(self.folder):
            path = os.path.join(self.folder, name)
            identity = _recorded(path)
            if identity is not None:
                killed += await kill_all(partial(family, identity))
            os.unlink(path)
        if killed:
            log.warning("leftover processes killed", count=len(killed))

    async def run(self, words: Sequence[str], env: Mapping[str, str], work: Work, log_limit: int) -> int | None:
        """Run a program in the work's folder, its words into the work's log; gives its exit code.

        Raises ``Permanent`` when it cannot be started, runs too long, says more than ``log_limit`` bytes, or leaves
        processes behind after it ended well.
        """
        record = os.path.join(self.folder, f"{work.claim.id}-{work.claim.attempt}")
        with Capture(work.log, log_limit) as capture:
            mark = {"RACKWRIGHT_MARK": record}
            process = start(words, {**env, **mark}, work.folder, capture.write_end, f"RACKWRIGHT_MARK={record}")
            capture.close_write_end()
            try:
                surroundings.write_private(record, msgspec.json.encode(process.identity).decode())
                code = await _watch(process, capture, work)
                left = await _left_behind(process.identity)
            finally:
                await kill_all(partial(family, process.identity))
                process.reap()
                with suppress(FileNotFoundError):
                    os.unlink(record)
            capture.drain()
        if capture.fault is not None:
            raise capture.fault
        if left and code == 0:
            raise _left(left)
        return code


def failure(code: int | None, work: Work) -> DriverError:
    """What is wrong with an attempt whose program ended with this exit code."""
    if code == temporary_failure:
        return Retryable(f"it asks to be tried again (exit code {code}){_last_words(work)}")
    mend = f"see the log of task {work.claim.task} on {work.claim.scope}"
    if code is None or code >= 0:
        return Permanent(f"it ended with exit code {code}{_last_words(work)}", mend=mend)
    return Permanent(f"it was killed by {_signal_name(-code)}{_last_words(work)}", mend=mend)


def _recorded(path: str) -> Identity | None:
    with suppress(msgspec.DecodeError), open(path, "rb") as file:
        return msgspec.json.decode(file.read(), type=Identity)
    return None


async def _watch(process: Process, capture: Capture, work: Work) -> int | None:
    """Wait for the program's end; raises when it runs too long, or says more than can be kept."""
    ended = asyncio.ensure_future(process.wait())
    silent = asyncio.ensure_future(capture.stopped.wait())
    try:
        async with asyncio.timeout(work.claim.timeout):
            await asyncio.wait({ended, silent}, return_when=asyncio.FIRST_COMPLETED)
            if capture.fault is not None:
                raise capture.fault
            return await ended
    except TimeoutError:
        capture.drain()
        what = f"it ran longer than its timeout of {work.claim.timeout:g} s and was killed{_last_words(work)}"
        raise Permanent(what, mend=f"raise `timeout` of task {work.claim.task} if it needs longer") from None
    finally:
        ended.cancel()
        silent.cancel()


async def _left_behind(identity: Identity) -> list[str]:
    """Kill the children that outlive the program; gives their command lines."""
    deadline = asyncio.get_running_loop().time() + leaving_time
    while family(identity):
        if asyncio.get_running_loop().time() > deadline:
            return await kill_all(partial(family, identity))
        await asyncio.sleep(0.02)
    return []


def _left(lines: list[str]) -> DriverError:
    named = "; ".join(lines[:5])
    what = f"it ended but left {len(lines)} process(es) behind, which were killed: {named}"
    return Permanent(what, mend="wait for them, or use the service jig for what is to stay")


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _last_words(work: Work) -> str:
    said = last_lines(work.log)
    return f"; it last said: {said}" if said else "; it said nothing"
