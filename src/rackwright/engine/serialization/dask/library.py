"""How the library ``distributed`` is to behave in every process of ours, whatever its own settings files say."""

from __future__ import annotations

import logging
from typing import Any

_SETTINGS: dict[str, Any] = {
    # Chunks are large and few, and their size is bounded by their cost.
    "distributed.admin.large-graph-warning-threshold": "4GiB",
    # Sources of the calling functions are of no use to anybody, and cost milliseconds a chunk.
    "distributed.diagnostics.computations.nframes": 0,
    "distributed.worker.profile.enabled": False,
    # The library looks at its own health fifty times a second: that costs percents, and nobody reads it.
    "distributed.admin.tick.interval": "1s",
    "distributed.admin.tick.limit": "10s",
    "distributed.admin.system-monitor.interval": "5s",
    # A chunk is sent to one worker, and stays there.
    "distributed.scheduler.work-stealing": False,
    "distributed.scheduler.active-memory-manager.start": False,
    # A machine that vanished without a word is given up after this time.
    "distributed.scheduler.worker-ttl": "30s",
    "distributed.comm.timeouts.connect": "10s",
    "distributed.comm.require-encryption": True,
}
# The library always starts a server without encryption for its pages: it listens on loopback and has none.
_WITHOUT_PAGES: dict[str, Any] = {"distributed.scheduler.http.routes": [], "distributed.worker.http.routes": []}
NO_PAGES = "127.0.0.1:0"
"""Where the library's pages listen when nobody asked for them."""


def configure(*, pages: bool = False) -> None:
    """Set this process's ``distributed`` right; to be called before any of it is used. With ``pages``, it has some."""
    import dask

    # With its own settings read first, ours hold.
    import distributed

    dask.config.set(_SETTINGS if pages else _SETTINGS | _WITHOUT_PAGES)
    logging.getLogger(distributed.__name__).setLevel(logging.WARNING)
    # That the scheduler is gone is told by the worker's own process, in one line.
    logging.getLogger(f"{distributed.__name__}.worker").setLevel(logging.CRITICAL)
