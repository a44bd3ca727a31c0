"""A PostgreSQL server of our own, for when no DSN was given.

Its programs come from a wheel; its data, socket, locks and log live in one data folder. Every command that needs the
database says so with ``running``; the first one starts a *guard*, a small detached process that starts the server,
brings it back when it dies, and stops it when its last user has gone.

    async with embedded.running(Path("data")) as dsn:
        connection = await asyncpg.connect(dsn)

Modules: ``use`` (what commands call), ``guard`` (the loop), ``server`` (one postmaster), ``cluster`` (making and
setting up the data), ``folder`` (paths and ownership), ``identity`` (as whom the server runs), ``programs`` (where its
programs are), ``locks``, ``log``, ``report`` (what a guard says to its starter).
"""

from rackwright.store.embedded.use import running, wait_stopped

__all__ = ["running", "wait_stopped"]
