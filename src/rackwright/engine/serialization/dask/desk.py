"""A worker's side: it keeps archives, and has chunks answered by processes that run the code of an archive.

What a worker's own installation holds does not matter for an answer: it only hands bytes on.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec
import structlog

from rackwright.core.errors import InvalidInput, RackwrightError
from rackwright.engine.serialization.answering import CHUNK, SQUEEZED, squeezed
from rackwright.engine.serialization.dask.admission import Registration
from rackwright.engine.serialization.dask.archive import Unpacked, fingerprint, pack, unpack
from rackwright.engine.serialization.processes import WORK, Answerer, Died, Work

ANSWERS, ARCHIVES = "rackwright_answer", "rackwright_archive"
"""The names under which a worker takes chunks and archives."""
ANSWER, LACKING, LEAVING, DIED, FAULT = "answer", "lacking", "leaving", "died", "fault"
"""How a chunk came back: with its answer; the archive is not here; the worker is about to end; its process died; the
function failed."""

_MOST_ARCHIVES = 4
_MOST_PROCESSES = 2

log = structlog.get_logger()


class Desk:
    """What one worker keeps: the newest archives, and for each code of theirs a process."""

    def __init__(self, folder: Path, registration: Registration) -> None:
        self.registration = registration
        self._folder = folder
        self._archives: OrderedDict[str, Unpacked] = OrderedDict()
        self._answerers: OrderedDict[Path, Answerer] = OrderedDict()
        self._at_work, self._unpacking = threading.Lock(), threading.Lock()
        self._taken: list[str] = []

    def told(self, _: object = None) -> dict[str, Any]:
        """Give the registration as plain data, for a heartbeat."""
        told: dict[str, Any] = msgspec.to_builtins(self.registration)
        return told

    def warm(self) -> None:
        """Start the process for this worker's own code: where a client has the same, its first chunk need not wait."""
        archive = pack(b"", WORK)
        self.keep(archive.fingerprint, archive.data)
        with self._at_work:
            self._answerer(self._archives[archive.fingerprint])

    def lacks(self, name: str) -> bool:
        """Whether the archive is not here."""
        return name not in self._archives

    def keep(self, name: str, data: bytes) -> None:
        """Keep an archive. Raises InvalidInput when the bytes are not those of its name."""
        if fingerprint(data) != name:
            raise InvalidInput("an archive arrived damaged", where=name, mend="run it again")
        with self._unpacking:
            self._archives[name] = unpack(data, self._folder)
            while len(self._archives) > _MOST_ARCHIVES:
                self._archives.popitem(last=False)

    def supplied(self, name: str, data: bytes) -> bool:
        """Keep an archive that was sent; without bytes it is only asked for. Says whether it is here."""
        if data:
            self.keep(name, data)
            self._prepare(name)
            log.info("archive kept", archive=name, bytes=len(data))
        return not self.lacks(name)

    def answer(self, name: str, chunk: bytes, kind: bytes = CHUNK) -> tuple[str, bytes]:
        """Have a chunk answered by the code and with the setup of an archive; says how it came back. With the ``kind``
        SQUEEZED chunk and answer are squeezed; words never are."""
        archive = self._archives.get(name)
        if archive is None and not self.registration.leaving:
            return LACKING, b""
        with self._at_work:
            if archive is None or self.registration.leaving:
                return LEAVING, b""
            try:
                return ANSWER, self._answerer(archive).ask(archive.setup, chunk, kind)
            except Died as death:
                self._answerers.pop(archive.code).close()
                return DIED, str(death).encode()
            except RackwrightError as error:
                return FAULT, str(error).encode()

    def answer_squeezed(self, name: str, chunk: bytes) -> tuple[str, bytes]:
        """The same, all of it squeezed. Only the process that answers unpacks the chunk."""
        self._taken.append(name)
        try:
            how, data = self.answer(name, chunk, SQUEEZED)
            return how, data if how == ANSWER else squeezed(data)
        finally:
            self._taken.pop()

    @property
    def busy(self) -> bool:
        """Whether there are chunks that are not answered yet."""
        return bool(self._taken)

    def leave(self) -> None:
        """Take no more chunks."""
        self.registration = msgspec.structs.replace(self.registration, leaving=True)

    def close(self) -> None:
        """End all processes. A chunk that is being answered dies."""
        for answerer in list(self._answerers.values()):
            answerer.kill()
        with self._at_work:
            for answerer in self._answerers.values():
                answerer.close()
            self._answerers.clear()

    def _prepare(self, name: str) -> None:
        """Send the setup to the process that will need it. What goes wrong is told by the first chunk."""
        with self._at_work, suppress(KeyError, OSError, RackwrightError):
            archive = self._archives[name]
            self._answerer(archive).prepare(archive.setup)

    def _answerer(self, archive: Unpacked) -> Answerer:
        answerer = self._answerers.get(archive.code)
        if answerer is None:
            answerer = self._answerers[archive.code] = Answerer(Work(archive.function), archive.code)
        self._answerers.move_to_end(archive.code)
        while len(self._answerers) > _MOST_PROCESSES:
            self._answerers.popitem(last=False)[1].close()
        return answerer
