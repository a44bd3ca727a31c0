"""One attempt of a node task, from the claim to the result."""

from __future__ import annotations

import asyncio
import os
import shutil
import time
from collections.abc import Mapping
from typing import Literal

import msgspec
import structlog

from rackwright.core.errors import DriverError, Permanent, Retryable
from rackwright.core.jig import Jig, Outcome, Wait, Work, check_facts, folder_name
from rackwright.core.messages import Claim, Result

late_by = 30.0
"""Seconds after the timeout at which the rack itself ends an attempt whose jig did not."""

log = structlog.get_logger()


class Workshop:
    """The jigs of a rack, and the folders below ``data`` in which they work."""

    def __init__(self, rack: str, data: str, jigs: Mapping[str, Jig]) -> None:
        self.rack = rack
        self.jigs = dict(jigs)
        self._work = os.path.join(data, "work")
        self._state = os.path.join(data, "state")

    async def open(self) -> None:
        """Let the jigs end or take over what a former process left, then clear its work folders. A jig that breaks at
        this is left out."""
        for name, jig in list(self.jigs.items()):
            try:
                await jig.open()
            except Exception:
                log.exception("jig cannot be used", jig=name)
                del self.jigs[name]
        shutil.rmtree(self._work, ignore_errors=True)
        for folder in (self._work, self._state):
            os.makedirs(folder, mode=0o700, exist_ok=True)

    async def close(self, grace: float) -> None:
        """Let the jigs stop all that they keep."""
        await asyncio.gather(*(jig.close(grace) for jig in self.jigs.values()))

    def kept(self) -> list[int]:
        """Ids of the node tasks for which a jig keeps something running."""
        return sorted(id for jig in self.jigs.values() for id in jig.kept())

    async def drop(self, ids: list[int]) -> None:
        """Let the jigs stop what they keep for these node tasks."""
        await asyncio.gather(*(jig.drop(ids) for jig in self.jigs.values()))

    async def attempt(self, claim: Claim, log_path: str) -> Result:
        """Carry out one claim. Every way to fail becomes a result; only a cancellation passes."""
        with structlog.contextvars.bound_contextvars(node=claim.scope, task=claim.task, attempt=claim.attempt):
            began = time.monotonic()
            log.info("attempt began", id=claim.id, jig=claim.jig, deployment=claim.deployment)
            try:
                outcome = await self._carry_out(claim, log_path)
            except Retryable as error:
                result = _result(claim, "retryable", str(error))
            except (DriverError, OSError) as error:
                result = _result(claim, "failed", _said(error))
            except Exception as error:
                log.exception("the jig broke", jig=claim.jig)
                result = _result(claim, "failed", f"the jig {claim.jig!r} broke: {error!r} (see the rack's own log)")
            else:
                result = _result(claim, "ok", _would(claim) if claim.noop else "", outcome)
                if outcome.parked is not None:
                    result = _waiting(result, outcome.parked)
            seconds = round(time.monotonic() - began, 3)
            log.info("attempt ended", id=claim.id, outcome=result.outcome, seconds=seconds)
        return msgspec.structs.replace(result, seconds=seconds)

    async def _carry_out(self, claim: Claim, log_path: str) -> Outcome:
        jig = self.jigs.get(claim.jig)
        if jig is None:
            known = ", ".join(sorted(self.jigs)) or "none"
            raise Permanent(f"rack {self.rack} has no jig {claim.jig!r} (it has: {known})", mend="install it there")
        if claim.noop:
            return Outcome()
        folder = os.path.join(self._work, f"{claim.id}-{claim.attempt}")
        state = os.path.join(self._state, folder_name(claim.deployment), folder_name(claim.scope))
        _make_folders(folder, state)
        work = Work(claim=claim, rack=self.rack, folder=folder, state=state, log=log_path)
        try:
            async with asyncio.timeout(claim.timeout + late_by):
                outcome = await jig.run(work)
        except TimeoutError:
            raise Permanent(f"the jig {claim.jig!r} did not keep the timeout of {claim.timeout:g} s") from None
        finally:
            await _cleared(folder)
        fault = check_facts(outcome, claim)
        if fault:
            raise Permanent(fault)
        return outcome


def unfinished(claim: Claim, reason: str) -> Result:
    """The result of an attempt that was ended although it did nothing wrong."""
    return _result(claim, "retryable", reason)


def _result(
    claim: Claim, ended: Literal["ok", "failed", "retryable"], reason: str = "", outcome: Outcome | None = None
) -> Result:
    outcome = outcome or Outcome()
    return Result(
        id=claim.id, attempt=claim.attempt, revision=claim.revision, outcome=ended, reason=reason,
        facts=outcome.facts, node_facts=outcome.node_facts,
    )  # fmt: skip


def _would(claim: Claim) -> str:
    return f"the jig {claim.jig} would run it; nothing was done"


def _waiting(result: Result, wait: Wait) -> Result:
    return msgspec.structs.replace(
        result, outcome="parked", reason=wait.reason, until=wait.until, until_fact=wait.until_fact
    )


def _said(error: DriverError | OSError) -> str:
    if isinstance(error, DriverError):
        return str(error)
    place = f"{error.filename}: " if error.filename else ""
    return f"{place}the rack's disk did not do as asked: {error.strerror} (free space there, or mend its rights)"


def _make_folders(folder: str, state: str) -> None:
    """An empty folder for the attempt, and that of what the task keeps."""
    try:
        os.mkdir(folder, 0o700)
    except FileExistsError:
        shutil.rmtree(folder, ignore_errors=True)
        os.makedirs(folder, mode=0o700, exist_ok=True)
    if not os.path.isdir(state):
        os.makedirs(state, mode=0o700, exist_ok=True)


async def _cleared(folder: str) -> None:
    """Remove what an attempt leaves: most leave nothing, which takes no thread."""
    try:
        os.rmdir(folder)
    except OSError:
        await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)
