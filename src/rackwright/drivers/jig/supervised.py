"""One process that is kept running: started, watched, started again when it ends, and found again after the rack
itself was restarted."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal

import msgspec
import structlog

from rackwright.core.errors import DriverError
from rackwright.drivers.jig.process import Identity, Process, adopt, bearers, family, kill_all, start
from rackwright.drivers.jig.procfs import ProcessStat
from rackwright.drivers.jig.surroundings import write_private

first_pause = 0.2
"""Seconds before the first restart; each further pause is twice as long."""

longest_pause = 30.0
"""Seconds."""

steady_after = 10.0
"""Seconds after which a process counts as well again, and the next pause is the first."""

log_limit = 16 * 1024 * 1024
"""Bytes after which a service's log becomes ``log.1`` and begins anew."""

log_check = 5.0
"""Seconds between two looks at the size of the log."""

log = structlog.get_logger()


class Spec(msgspec.Struct, frozen=True, kw_only=True):
    """What runs: two services with the same ``digest`` are the same."""

    name: str
    scope: str
    words: list[str]
    env: dict[str, str]
    cwd: str
    stop_signal: str
    digest: str


class Record(msgspec.Struct, frozen=True):
    """What the disk knows of a service: what shall run, the process that did so last, and for whom."""

    spec: Spec
    identity: Identity | None = None
    node_task: int = 0
    """Id of the node task that wanted it last."""


class Supervised:
    """One service in its own ``folder``: the record ``service.json`` and its ``log``."""

    def __init__(self, folder: str, record: Record) -> None:
        self.folder = folder
        self.record = record
        self.deaths = 0
        """How often the process ended, or could not be started, since ``begin``."""
        self.last_end = ""
        """How it ended last, in words."""
        self._process: Process | None = None
        self._keeper: asyncio.Task[None] | None = None
        # The separator at its end keeps it from being the beginning of another service's mark.
        self._mark = f"{folder}{os.sep}"
        self._log = log.bind(service_task=record.spec.name, node=record.spec.scope)

    @property
    def log_path(self) -> str:
        """The file that takes all that the process says."""
        return os.path.join(self.folder, "log")

    @property
    def log_size(self) -> int:
        """Bytes that the log has now."""
        return os.path.getsize(self.log_path) if os.path.exists(self.log_path) else 0

    @property
    def pid(self) -> int | None:
        """The process that runs now; None when none does."""
        process = self._process
        return process.identity.pid if process is not None and process.identity.alive else None

    @classmethod
    def load(cls, folder: str) -> Supervised:
        """Read a service's record; raises ``OSError`` or ``msgspec.DecodeError``."""
        with open(os.path.join(folder, "service.json"), "rb") as file:
            return cls(folder, msgspec.json.decode(file.read(), type=Record))

    async def begin(self) -> bool:
        """Take over the recorded process when it still runs (gives True), else start one; and keep it from now on."""
        identity = self.record.identity
        self._process = adopt(identity) if identity is not None else None
        adopted = self._process is not None
        if not adopted:
            # Children of the dead process, or what a rack started that died before it could record it.
            await kill_all(self._all_of_it)
            self._start()
        self._keeper = asyncio.create_task(self._keep())
        self._keeper.add_done_callback(self._not_kept)
        return adopted

    async def stop(self, grace: float) -> None:
        """End the process with its stop signal, and after ``grace`` seconds by force, with all its descendants."""
        if self._keeper is not None:
            self._keeper.cancel()
            await asyncio.wait({self._keeper})
        try:
            if self._process is not None and grace > 0:
                await _end_politely(self._process, signal.Signals[self.record.spec.stop_signal], grace)
        finally:
            # Also when the wait is cancelled: half stopped it would run on with nobody to watch it.
            await kill_all(self._all_of_it)
            if self._process is not None:
                self._process.reap()
            self._process = None
            self._write(None)

    def belong_to(self, node_task: int) -> None:
        """Note which node task wants it from now on."""
        if self.record.node_task != node_task:
            self.record = msgspec.structs.replace(self.record, node_task=node_task)
            self._save()

    def forget(self) -> None:
        """Remove its record, so that no later rack starts it; its log stays for people."""
        os.unlink(os.path.join(self.folder, "service.json"))

    async def _keep(self) -> None:
        """Start it again whenever it ends, with longer and longer pauses while it does not hold."""
        pause = first_pause
        clock = asyncio.get_running_loop().time
        while True:
            began = clock()
            if self._process is not None:
                await self._watch(self._process)
                # Children of the dead process may hold its ports and locks.
                await kill_all(self._all_of_it)
            pause = first_pause if clock() - began >= steady_after else pause
            self._log.warning("service restarts", reason=self.last_end, pause=pause, deaths=self.deaths)
            await asyncio.sleep(pause)
            pause = min(pause * 2, longest_pause)
            self._start()

    def _not_kept(self, keeper: asyncio.Task[None]) -> None:
        if not keeper.cancelled():
            self._log.error("service is watched no more; restart the rack", exc_info=keeper.exception())

    async def _watch(self, process: Process) -> None:
        ended = asyncio.ensure_future(process.wait())
        try:
            while not ended.done():
                await asyncio.wait({ended}, timeout=log_check)
                self._trim_log()
        finally:
            ended.cancel()
        self._died(_in_words(ended.result()))

    def _start(self) -> None:
        """Start the process; a failure counts as a death, and is tried again like one."""
        spec = self.record.spec
        try:
            # The record comes first: a rack that is killed right after the start must still find what it started.
            self._write(None)
            with open(self.log_path, "ab", opener=_private) as output:
                env = spec.env | {"RACKWRIGHT_MARK": self._mark}
                self._process = start(spec.words, env, spec.cwd, output, f"RACKWRIGHT_MARK={self._mark}")
            self._write(self._process.identity)
        except (DriverError, OSError) as error:
            self._died(str(error))

    def _died(self, how: str) -> None:
        self.deaths += 1
        self.last_end = how
        self._process = None

    def _write(self, identity: Identity | None) -> None:
        self.record = msgspec.structs.replace(self.record, identity=identity)
        self._save()

    def _save(self) -> None:
        path = os.path.join(self.folder, "service.json")
        write_private(f"{path}.new", msgspec.json.encode(self.record).decode())
        os.replace(f"{path}.new", path)

    def _all_of_it(self) -> list[ProcessStat]:
        """Every process of this service, whoever started it."""
        identity = self.record.identity
        return family(identity) if identity is not None else bearers(f"RACKWRIGHT_MARK={self._mark}")

    def _trim_log(self) -> None:
        """The process holds the log open in append mode: so it is copied and emptied, not renamed."""
        try:
            if os.path.getsize(self.log_path) > log_limit:
                shutil.copyfile(self.log_path, f"{self.log_path}.1")
                os.truncate(self.log_path, 0)
        except OSError as error:
            self._log.error("service log could not be shortened", path=self.log_path, reason=str(error))


async def _end_politely(process: Process, number: signal.Signals, grace: float) -> None:
    process.send(number)
    ended = asyncio.ensure_future(process.wait())
    try:
        await asyncio.wait({ended}, timeout=grace)
    finally:
        ended.cancel()


def _private(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_CLOEXEC, 0o600)


def _in_words(code: int | None) -> str:
    if code is None:
        return "it ended"
    return f"it was killed by signal {-code}" if code < 0 else f"it ended with exit code {code}"
