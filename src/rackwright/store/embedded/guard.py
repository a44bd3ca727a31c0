"""The guard: one detached process per data folder that keeps its PostgreSQL running while anybody uses it.

It holds ``guard.lock``. It takes over a server that already runs, else starts one; brings back a server that dies;
and stops it when nobody has held ``users.lock`` for some seconds. If the guard itself is killed the server goes on,
and any of its users starts the next guard.
"""

from __future__ import annotations

import signal
import time
from types import FrameType

from rackwright.core.errors import RackwrightError, StoreUnavailable
from rackwright.store.embedded import server as postmaster
from rackwright.store.embedded.cluster import prepare, write_settings
from rackwright.store.embedded.folder import Folder, choose_socket_folder, file_errors, forget_socket_folder
from rackwright.store.embedded.identity import Identity, chosen
from rackwright.store.embedded.locks import Lock, try_lock
from rackwright.store.embedded.log import Log, Progress, explained
from rackwright.store.embedded.programs import Programs
from rackwright.store.embedded.programs import found as found_programs
from rackwright.store.embedded.report import Busy, Doing, Ready, Report, failed
from rackwright.store.embedded.server import Server

TICK = 0.1  # seconds
LOCK_TRIES = 20  # somebody may just be looking whether the lock is held
RESTARTS = 6  # starts in a row that fail before the guard gives up; its users then begin with a new one
FIRST_PAUSE = 0.5  # seconds, doubled after each failure


class Guard:
    """Guards the server of ``folder``; stops it ``linger`` seconds after its last user has gone."""

    def __init__(self, folder: Folder, report: Report, linger: float) -> None:
        self._folder = folder
        self._report = report
        self._linger = linger
        self._log = Log(folder.log)
        self._told_to_stop = False
        self._users: Lock | None = None

    def run(self) -> None:
        """The whole life of a guard. Ends when the server is stopped, or cannot be started, or has another guard."""
        lock = _patient_lock(self._folder)
        if lock is None:
            self._report.say(Busy())
            return
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_signal)
        self._log.note("guard starts")
        try:
            with file_errors(self._folder.home):
                server = self._settled()
                self._report.say(Ready())
                self._last_orders(self._watched(server))
        except RackwrightError as error:
            self._log.note(f"guard gives up: {error}")
            self._report.say(failed(error))
        lock.release()

    def _settled(self) -> Server:
        server = postmaster.found(self._folder.cluster)
        if server is not None:
            self._log.note(f"takes over PostgreSQL, process {server.pid}")
            if self._becomes_ready(server, self._log.size()):
                return server
        identity, programs = chosen(self._folder, found_programs())
        prepare(self._folder, identity, programs, self._doing)
        return self._start(identity, programs)

    def _start(self, identity: Identity, programs: Programs) -> Server:
        postmaster.clear_remains(self._folder, self._log.note)
        socket = choose_socket_folder(self._folder)
        identity.take(socket)
        write_settings(self._folder.cluster, socket, identity)
        before = self._log.size()
        server = postmaster.started(self._folder, identity, programs)
        if not self._becomes_ready(server, before):
            raise explained(self._log.since(before), self._folder.log)
        self._log.note(f"PostgreSQL is ready, process {server.pid}")
        return server

    def _becomes_ready(self, server: Server, before: int) -> bool:
        """Wait for as long as the server gets on with its recovery; False when it ends instead."""
        progress = Progress(self._log)
        while server.is_alive():
            if server.is_ready():
                return True
            if self._told_to_stop:
                server.stop(self._log.note)
                raise StoreUnavailable("PostgreSQL was told to stop while it started", where=str(self._log.path))
            text = progress.check()
            if text:
                self._doing(text)
            time.sleep(TICK)
        return False

    def _watched(self, server: Server) -> Server:
        """Watch until nobody uses the server any more; the users' lock is then held by the guard itself."""
        idle_since = time.monotonic()
        while not self._told_to_stop:
            if not server.is_alive():
                self._log.note(f"PostgreSQL, process {server.pid}, has died")
                server = self._brought_back()
            self._log.bound()
            users = try_lock(self._folder.users)
            if users is None:
                idle_since = time.monotonic()
            elif time.monotonic() - idle_since >= self._linger:
                self._users = users
                break
            else:
                users.release()
            time.sleep(TICK)
        return server

    def _brought_back(self) -> Server:
        pause = FIRST_PAUSE
        for _ in range(RESTARTS - 1):
            try:
                return self._settled()
            except RackwrightError as error:
                if self._told_to_stop:
                    raise
                self._log.note(f"PostgreSQL does not come back: {error}; next try in {pause} s")
            time.sleep(pause)
            pause *= 2
        return self._settled()

    def _last_orders(self, server: Server) -> None:
        server.stop(self._log.note)
        forget_socket_folder(self._folder)
        self._log.note("guard ends")

    def _doing(self, text: str) -> None:
        self._report.say(Doing(text))

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        self._told_to_stop = True


def _patient_lock(folder: Folder) -> Lock | None:
    for _ in range(LOCK_TRIES):
        lock = try_lock(folder.guard)
        if lock is not None:
            return lock
        time.sleep(0.01)
    return None
