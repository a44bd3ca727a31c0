"""The worker of the job engine, Procrastinate: carries out jobs until it is told to stop."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from typing import Any

import procrastinate
import structlog
from procrastinate.exceptions import ConnectorException
from procrastinate.jobs import Job

from rackwright.core.errors import Conflict, InvalidInput, NotFound
from rackwright.core.jobs import MOST_ATTEMPTS, STALLED_AFTER

QUEUE = "rackwright"
HOOKS = "rackwright-hooks"
"""Hooks have a queue and places of their own: those that hang keep no other job waiting."""
AT_ONCE = 16
"""Jobs of each queue that one worker carries out at a time."""
CONNECTIONS = 6
"""To the database; each queue keeps one for its news."""
HEARTBEAT = 2.0
"""Seconds between two signs of life."""
POLL = 2.0
"""Seconds between two looks when no news comes."""
GRACE = 10.0
"""Seconds that jobs may take to end when the worker is told to stop; then they are ended, and done again elsewhere."""
PAUSE = 1.0
"""Seconds before the worker begins anew when it lost the database."""
FACTOR = 5
"""A job that failed is tried again after this many seconds, then after the square of it, and so on."""

log = structlog.get_logger()


class Again(procrastinate.BaseRetryStrategy):
    """Which failures are worth another try: not those that only a person can mend, and not those of jobs with a
    queueing lock: another one may wait by now, and who asked for it once asks again."""

    def get_retry_decision(self, *, exception: BaseException, job: Job) -> procrastinate.RetryDecision | None:
        """See Procrastinate."""
        hopeless = job.queueing_lock is not None or isinstance(exception, InvalidInput | NotFound | Conflict)
        if hopeless or job.attempts + 1 >= MOST_ATTEMPTS:
            return None
        cancelled = isinstance(exception, asyncio.CancelledError)
        return procrastinate.RetryDecision(retry_in={"seconds": 0 if cancelled else FACTOR ** (job.attempts + 1)})


async def carry_out(
    dsn: str, kinds: Mapping[str, Callable[..., Awaitable[object]]], periodic: Mapping[str, str], stop: asyncio.Event
) -> None:
    """Carry out jobs of these kinds, and ask for the periodic ones (crontab(5) lines by kind), until ``stop`` is set.
    A database that is away is waited for."""
    logging.getLogger("procrastinate").setLevel(logging.CRITICAL)
    logging.getLogger("psycopg.pool").setLevel(logging.ERROR)
    while not stop.is_set():
        try:
            await _work(_app(dsn, kinds, periodic), stop)
        except (ConnectorException, OSError) as error:
            log.warning("the jobs wait for the database", error=str(error))
        except Exception:
            log.exception("the worker of the jobs broke and begins anew")
        if not stop.is_set():
            with suppress(TimeoutError):
                async with asyncio.timeout(PAUSE):
                    await stop.wait()


async def _work(app: procrastinate.App, stop: asyncio.Event) -> None:
    async with app.open_async():
        working = asyncio.create_task(_both_queues(app))
        stopping = asyncio.create_task(stop.wait())
        try:
            await asyncio.wait({working, stopping}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            stopping.cancel()
            working.cancel()
            with suppress(asyncio.CancelledError):
                await working


async def _both_queues(app: procrastinate.App) -> None:
    workers = [asyncio.create_task(_of_queue(app, queue)) for queue in (QUEUE, HOOKS)]
    try:
        await asyncio.gather(*workers)
    finally:
        for worker in workers:
            worker.cancel()
        await asyncio.wait(workers)


async def _of_queue(app: procrastinate.App, queue: str) -> None:
    await app.run_worker_async(
        queues=[queue],
        name=f"conductor {queue}",
        concurrency=AT_ONCE,
        install_signal_handlers=False,
        fetch_job_polling_interval=POLL,
        shutdown_graceful_timeout=GRACE,
        update_heartbeat_interval=HEARTBEAT,
        stalled_worker_timeout=STALLED_AFTER,
        delete_jobs="successful",
    )


def _app(
    dsn: str, kinds: Mapping[str, Callable[..., Awaitable[object]]], periodic: Mapping[str, str]
) -> procrastinate.App:
    options = {"options": "-c search_path=procrastinate", "application_name": "rackwright-jobs"}
    connector = procrastinate.PsycopgConnector(conninfo=dsn, kwargs=options, min_size=1, max_size=CONNECTIONS)
    app = procrastinate.App(connector=connector)
    for kind, carry in kinds.items():
        lock = kind if kind in periodic else None
        task = app.task(name=kind, queue=QUEUE, retry=Again(), lock=lock, queueing_lock=lock)(_told(kind, carry))
        if kind in periodic:
            app.periodic(cron=periodic[kind])(task)
    return app


def _told(kind: str, carry: Callable[..., Awaitable[object]]) -> Callable[..., Awaitable[None]]:
    """The same, with its failures in the log."""

    async def told(**arguments: Any) -> None:
        try:
            await carry(**arguments)
        except Exception as error:
            log.warning("a job failed", kind=kind, arguments=arguments, error=str(error))
            raise

    return told
