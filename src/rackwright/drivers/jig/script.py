"""The jig that runs a script: a real process in a folder of its own, with the task's inputs in its environment and the
task's facts in a file that it writes."""

from __future__ import annotations

import asyncio
import os
import re
import signal
from contextlib import suppress
from functools import partial
from typing import Any

import msgspec
import structlog

from rackwright.core.errors import DriverError, Permanent, Retryable
from rackwright.core.jig import Outcome, Work
from rackwright.drivers.jig import surroundings
from rackwright.drivers.jig.capture import Capture, last_lines
from rackwright.drivers.jig.output import read_output
from rackwright.drivers.jig.process import Identity, Process, bearers, family, kill_all, start

temporary_failure = 75
"""The exit code by which a script asks to be tried again: EX_TEMPFAIL of sysexits.h."""

leaving_time = 0.5
"""Seconds that children may take to end after the script itself."""

log = structlog.get_logger()


class ScriptParameters(msgspec.Struct, frozen=True):
    """``script`` is the path of a text of the catalog, or the text itself when it has more than one line; ``log_limit``
    is in bytes."""

    script: str
    args: list[str | int | float | bool] = []
    env: dict[str, Any] = {}
    log_limit: int = 64 * 1024 * 1024


class ScriptJig:
    """Runs scripts; ``folder`` keeps a record of each process, so that a restarted rack can end what was left."""

    def __init__(self, folder: str) -> None:
        self.folder = os.path.join(folder, "running")

    async def open(self) -> None:
        """Kill the scripts of a former process of this rack: their attempts run again from the beginning."""
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

    async def run(self, work: Work) -> Outcome:
        """Run one script to its end and read its facts."""
        given = surroundings.parameters_as(ScriptParameters, work)
        record = os.path.join(self.folder, f"{work.claim.id}-{work.claim.attempt}")
        words = _lay_out(work, given)
        with Capture(work.log, given.log_limit) as capture:
            env = _environment(work, given, mark=record)
            process = start(words, env, work.folder, capture.write_end, f"RACKWRIGHT_MARK={record}")
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
        _judge(code, left, capture, work)
        return read_output(os.path.join(work.folder, "output"))

    def kept(self) -> list[int]:
        """Nothing is kept."""
        return []

    async def drop(self, ids: list[int]) -> None:
        """There is nothing to stop."""

    async def close(self, grace: float) -> None:
        """Nothing is kept: every script ends within its ``run``."""


def _recorded(path: str) -> Identity | None:
    with suppress(msgspec.DecodeError), open(path, "rb") as file:
        return msgspec.json.decode(file.read(), type=Identity)
    return None


def _lay_out(work: Work, given: ScriptParameters) -> list[str]:
    """Fill the work folder; gives the words that start the script."""
    claim, text = work.claim, script_text(work, given)
    for name in ("files", "tmp"):
        os.makedirs(os.path.join(work.folder, name), mode=0o700)
    surroundings.write_files(claim.files, os.path.join(work.folder, "files"))
    surroundings.write_private(os.path.join(work.folder, "inputs.json"), surroundings.inputs_text(work))
    script = os.path.join(work.folder, "script")
    surroundings.write_private(script, text, 0o700)
    return [*interpreter(text), script, *(str(word) for word in given.args)]


def script_text(work: Work, given: ScriptParameters) -> str:
    """The script itself; raises ``Permanent`` when the catalog has none of this name."""
    text = given.script if "\n" in given.script else work.claim.files.get(given.script)
    if text is None:
        mend = "name a file that the catalog has, or give the text itself, with more than one line"
        raise Permanent(f"the catalog has no script {given.script!r}", mend=mend)
    return text


def interpreter(text: str) -> list[str]:
    """The words before the script's path: from its ``#!`` line as the kernel reads it (a program and at most one more
    word), or /bin/sh. Read by us, so it also works on a disk that is mounted noexec."""
    first = text.split("\n", 1)[0]
    words = re.split("[ \t]+", first[2:].strip(" \t"), maxsplit=1) if first.startswith("#!") else []
    return words if any(words) else ["/bin/sh"]


def _environment(work: Work, given: ScriptParameters, mark: str) -> dict[str, str]:
    folder = work.folder
    return {
        **surroundings.input_variables(work.claim.inputs),
        **surroundings.clean_environment(home=folder, temporary=os.path.join(folder, "tmp")),
        **surroundings.given_variables(given.env),
        **surroundings.task_variables(work),
        "RACKWRIGHT_ATTEMPT": str(work.claim.attempt),
        "RACKWRIGHT_INPUTS": os.path.join(folder, "inputs.json"),
        "RACKWRIGHT_OUTPUT": os.path.join(folder, "output"),
        "RACKWRIGHT_FILES": os.path.join(folder, "files"),
        "RACKWRIGHT_MARK": mark,
    }


async def _watch(process: Process, capture: Capture, work: Work) -> int | None:
    """Wait for the script's end; raises when it runs too long, or says more than can be kept."""
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
    """Kill the children that outlive the script; gives their command lines."""
    deadline = asyncio.get_running_loop().time() + leaving_time
    while family(identity):
        if asyncio.get_running_loop().time() > deadline:
            return await kill_all(partial(family, identity))
        await asyncio.sleep(0.02)
    return []


def _judge(code: int | None, left: list[str], capture: Capture, work: Work) -> None:
    """Raise what is wrong with an attempt that ended, if anything is."""
    if capture.fault is not None:
        raise capture.fault
    if code != 0:
        raise _failure(code, work)
    if left:
        lines = "; ".join(left[:5])
        what = f"it ended but left {len(left)} process(es) behind, which were killed: {lines}"
        raise Permanent(what, mend="wait for them, or use the service jig for what is to stay")


def _failure(code: int | None, work: Work) -> DriverError:
    if code == temporary_failure:
        return Retryable(f"it asks to be tried again (exit code {code}){_last_words(work)}")
    mend = f"see the log of task {work.claim.task} on {work.claim.scope}"
    if code is None or code >= 0:
        return Permanent(f"it ended with exit code {code}{_last_words(work)}", mend=mend)
    return Permanent(f"it was killed by {_signal_name(-code)}{_last_words(work)}", mend=mend)


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _last_words(work: Work) -> str:
    said = last_lines(work.log)
    return f"; it last said: {said}" if said else "; it said nothing"
