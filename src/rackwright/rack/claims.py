"""The claims loop: asks for as much work as there is room for, and sees every attempt through to its result."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import structlog

from rackwright.core.errors import Conflict
from rackwright.core.messages import Claim, ClaimRequest, Claims
from rackwright.core.services import Beat
from rackwright.rack.attempt import Workshop, unfinished
from rackwright.rack.client import RackClient, patiently
from rackwright.rack.logs import LogShipper
from rackwright.rack.results import ResultSender
from rackwright.rack.seat import Seat

poll_time = 20.0
"""Seconds that one request waits for work."""

stand_by_time = 1.0
"""Seconds between two looks whether the process that works for the rack is gone."""

gather_time = 0.02
"""Seconds between the first free place and the request, while others work: short tasks end in swarms, and one request
for many costs little more than one for one."""

Pulse = Callable[[], Beat | None]
"""Gives the next beat of this process, None when it keeps none."""

log = structlog.get_logger()


@dataclass
class Running:
    """An attempt that is under way; ``ended`` says why it was cancelled, if it was."""

    claim: Claim
    work: asyncio.Task[None]
    ended: str = ""


class ClaimsLoop:
    """Claims node tasks for the rack and carries them out, at most ``capacity`` at once. ``place`` learns whether this
    process may."""

    def __init__(
        self,
        client: RackClient,
        workshop: Workshop,
        results: ResultSender,
        logs: LogShipper,
        *,
        capacity: int,
        place: Seat,
        seat: str = "",
        pulse: Pulse = lambda: None,
    ) -> None:
        self.client = client
        self.workshop = workshop
        self.results = results
        self.logs = logs
        self.incarnation = results.incarnation
        self.capacity = capacity
        self.seat = seat
        self.place = place
        self.pulse = pulse
        self.spoke = 0.0
        """When work was asked for last, by the monotonic clock: the region then knows that this process lives."""
        self.lease = 0.0
        """Seconds; known once ``leased`` is set, by the first answer of the api."""
        self.leased = asyncio.Event()
        self._running: dict[tuple[int, int], Running] = {}
        self._room = asyncio.Event()
        self._open = False
        self._asked: dict[int, tuple[ClaimRequest, float]] = {}
        """Requests that are under way, whose places they may fill, and since when; by identity."""
        results.trade = self

    def working(self) -> list[tuple[int, int]]:
        """The (id, attempt) pairs that this rack answers for: under way, or done and not yet acknowledged."""
        return [*self._running, *self.results.held()]

    async def run(self) -> None:
        """Claim for ever; every attempt runs in a task of its own, which outlives this one."""
        self._open = True
        try:
            while True:
                # The first answer says at once whether this process is to work.
                wait = poll_time if self.leased.is_set() and self.place.held else 0.0
                wanted = self._request(await self._places(), wait, self.pulse())
                claims, why = None, ""
                try:
                    claims = await patiently("claims", partial(self.client.claims, wanted))
                except Conflict as error:
                    why = str(error)
                finally:
                    self.settle(wanted, claims)
                if why:
                    self.place.lose(why)
                    await asyncio.sleep(stand_by_time)
        finally:
            self._open = False

    def want(self) -> ClaimRequest | None:
        """Ask for the places that are free with the next results; None when there are none."""
        free = self._free() if self._open else 0
        return self._request(free, 0) if free > 0 else None

    def settle(self, wanted: ClaimRequest, claims: Claims | None) -> None:
        """Begin what a request has brought; None: it brought nothing."""
        _, since = self._asked.pop(id(wanted))
        self._room.set()
        if claims is None:
            return
        self.lease = claims.lease
        self.leased.set()
        self.place.take(claims.lease, since)
        for claim in claims.items:
            if self._open:
                self._start(claim)
            else:
                self.results.give(unfinished(claim, f"rack {self.workshop.rack} stops; it can be tried again at once"))

    def _request(self, places: int, wait: float, beat: Beat | None = None) -> ClaimRequest:
        self.spoke = time.monotonic()
        made = ClaimRequest(incarnation=self.incarnation, capacity=places, wait=wait, seat=self.seat, process=beat)
        self._asked[id(made)] = made, self.spoke
        return made

    def _free(self) -> int:
        return self.capacity - len(self._running) - sum(asked.capacity for asked, _ in self._asked.values())

    async def _places(self) -> int:
        """Wait for free places that nobody has asked for; gives how many there are."""
        while True:
            while self._free() <= 0:
                self._room.clear()
                await self._room.wait()
            if self._running:
                await asyncio.sleep(gather_time)
            if self._free() > 0:
                return self._free()

    def cancel(self, pairs: list[tuple[int, int]], why: str) -> None:
        """End these attempts without a result: they are no longer this rack's."""
        for pair in pairs:
            running = self._running.get(pair)
            if running is not None and not running.ended:
                running.ended = why
                running.work.cancel()
                log.info("attempt cancelled", id=pair[0], attempt=pair[1], reason=why)

    async def drain(self, seconds: float) -> None:
        """Wait for what is under way; after ``seconds`` end it, and report it as to be tried again."""
        tasks = {running.work for running in self._running.values()}
        if tasks and seconds > 0:
            log.info("waiting for attempts", count=len(tasks), seconds=seconds)
            await asyncio.wait(tasks, timeout=seconds)
        left = [running for running in self._running.values() if not running.ended]
        self.cancel(list(self._running), "the rack stops")
        if self._running:
            await asyncio.wait({running.work for running in self._running.values()})
        reason = f"rack {self.workshop.rack} was stopped while it worked on this; it can be tried again at once"
        for running in left:
            if running.work.cancelled():
                self.results.give(unfinished(running.claim, reason))

    def _start(self, claim: Claim) -> None:
        if (claim.id, claim.attempt) in self.working():
            return
        older = [running for (number, _), running in self._running.items() if number == claim.id]
        self.cancel([(running.claim.id, running.claim.attempt) for running in older], "a newer attempt was claimed")
        work = asyncio.create_task(self._see_through(claim, [running.work for running in older]))
        # A callback, because a task that is cancelled before its first step runs no line of its own.
        work.add_done_callback(lambda _: self._done(claim.id, claim.attempt))
        self._running[claim.id, claim.attempt] = Running(claim, work)

    async def _see_through(self, claim: Claim, after: list[asyncio.Task[None]]) -> None:
        """Carry out one claim once the older attempts have ended, and give its result."""
        if after:
            await asyncio.wait(after)
        result = await self.workshop.attempt(claim, self.logs.path(claim.id, claim.attempt))
        # The place is free before the result is sent, so that the next node task can be asked for with it.
        self._running.pop((claim.id, claim.attempt), None)
        self.results.give(result)

    def _done(self, number: int, attempt: int) -> None:
        self.logs.end(number, attempt)
        self._running.pop((number, attempt), None)
        self._room.set()
