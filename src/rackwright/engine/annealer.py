"""The conductor's loop: plans to compute, barriers to wake, leases to reap, and the slow check of everything."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Collection, Mapping
from contextlib import suppress

import structlog

from rackwright.core.clocks import SharedClock
from rackwright.core.errors import StoreUnavailable, TryAgain
from rackwright.core.ports import Store
from rackwright.engine import campaigns, clock, deadlocks, hooks, jobs, parking, planning, spreading, steering, timers
from rackwright.engine.library import CatalogLibrary
from rackwright.engine.pace import Pace
from rackwright.engine.serialization.policy import BY_SIZE, PolicySettings

POLL = 1.0
"""Seconds between two looks when no news comes; news may be lost, looks are not."""
PLANS = 4
"""Plans that one conductor computes at once: while one waits for the database, or for other processes, others go on."""
SWEEP_EVERY = 30.0
"""Seconds between two slices of the slow check."""

log = structlog.get_logger()


async def run(store: Store, library: CatalogLibrary, stop: asyncio.Event, settings: PolicySettings = BY_SIZE) -> None:
    """Work until ``stop`` is set; ``settings`` say who evaluates graphs.

    Any number of conductors may run at once: none holds anything between two transactions, so any of them may be
    killed at any time.
    """
    now = clock.shared_clock()
    waking = Pace(timers.WAKE, least=100, most=20_000)
    spreads = Pace(spreading.SLICE, least=100, most=20_000)
    passes: list[tuple[asyncio.Event, Callable[[], Awaitable[object]]]] = [
        *((asyncio.Event(), lambda: planning.compute_next(store, library, settings)) for _ in range(PLANS)),
        (asyncio.Event(), lambda: waking.take(lambda size: timers.wake(store, size))),
        (asyncio.Event(), lambda: spreads.take(lambda size: spreading.spread(store, size))),
        (asyncio.Event(), lambda: reap(store, now)),
        (asyncio.Event(), lambda: timers.fold(store)),
        (asyncio.Event(), lambda: parking.tend(store, library, now())),
        (asyncio.Event(), lambda: steering.keep(store, now())),
        (asyncio.Event(), lambda: campaigns.keep(store, library, now())),
    ]
    news, hook = [event for event, _ in passes], asyncio.Event()
    # What hooks wait for comes often, and concerns no other pass.
    passes += [
        (hook, lambda: hooks.dispatch(store, now())),
        (asyncio.Event(), lambda: hooks.watch(store)),
        (asyncio.Event(), lambda: jobs.recover(store)),
        (asyncio.Event(), lambda: timers.look_at_heads(store)),
    ]
    rings = {"plan": news, "barrier": news, "hook": [hook]}
    async with asyncio.TaskGroup() as group:
        listener = group.create_task(_listen(store, rings))
        workers = [group.create_task(_repeat(stop, event, work)) for event, work in passes]
        workers.append(group.create_task(_sweep(store, library, stop)))
        await stop.wait()
        for event, _ in passes:
            event.set()
        await asyncio.gather(*workers)
        listener.cancel()


async def _listen(store: Store, rings: Mapping[str, Collection[asyncio.Event]]) -> None:
    while True:
        try:
            async with store.listen(*rings) as heard:
                async for channel, _ in heard:
                    for event in rings[channel]:
                        event.set()
        except StoreUnavailable as error:
            log.warning("the store is away", error=str(error))
        await asyncio.sleep(POLL)


async def _repeat(stop: asyncio.Event, news: asyncio.Event, work: Callable[[], Awaitable[object]]) -> None:
    """Do the work as long as there is some, then wait for news or the next look."""
    while not stop.is_set():
        if await _tried(work):
            continue
        with suppress(TimeoutError):
            async with asyncio.timeout(POLL * random.uniform(0.8, 1.2)):
                await news.wait()
        news.clear()


async def reap(store: Store, now: SharedClock) -> int:
    """Take back what racks hold beyond their lease, unless the clock was set a moment ago."""
    await clock.look(store, now)
    return await timers.reap(store, now()) if now.settled else 0


async def _sweep(store: Store, library: CatalogLibrary, stop: asyncio.Event) -> None:
    after, node = 0, 0

    async def slice_() -> None:
        nonlocal after, node
        after, mended = await timers.sweep(store, library, after)
        if mended:
            log.warning("the slow check found node tasks out of place", mended=mended)
        node, rings = await deadlocks.look(store, library, node)
        if rings:
            log.warning("node tasks of several deployments wait for each other", rings=rings)

    while not stop.is_set():
        with suppress(TimeoutError):
            async with asyncio.timeout(SWEEP_EVERY * random.uniform(0.8, 1.2)):
                await stop.wait()
        if not stop.is_set():
            await _tried(slice_)


async def _tried(work: Callable[[], Awaitable[object]]) -> bool:
    """True when there was work. A store that is away is waited for. Any other error is told and survived: the next
    pass begins anew, and one broken thing must not keep all others from going on."""
    try:
        return bool(await work())
    except TryAgain:
        return True
    except StoreUnavailable as error:
        log.warning("the store is away", error=str(error))
    except Exception:
        log.exception("a pass of the annealer failed")
    return False
