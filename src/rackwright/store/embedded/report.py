"""What a guard says to the command that started it: one JSON object a line on its standard output, until it is settled.

A pipe, and no file: it works on a full disk too, and a reader learns at once when the guard dies.
"""

from __future__ import annotations

import os
from contextlib import suppress

import msgspec

from rackwright.core.errors import InvalidInput, RackwrightError, StoreUnavailable


class Doing(msgspec.Struct, frozen=True, tag="doing"):
    """Something goes on that may take a while."""

    text: str


class Ready(msgspec.Struct, frozen=True, tag="ready"):
    """The server takes connections."""


class Busy(msgspec.Struct, frozen=True, tag="busy"):
    """Another guard is at work; this one goes."""


class Failed(msgspec.Struct, frozen=True, tag="failed"):
    """The server does not start; the fields are those of the error."""

    invalid: bool
    what: str
    where: str
    mend: str

    def error(self) -> RackwrightError:
        """The error to raise."""
        kind = InvalidInput if self.invalid else StoreUnavailable
        return kind(self.what, where=self.where, mend=self.mend)


Word = Doing | Ready | Busy | Failed


def failed(error: RackwrightError) -> Failed:
    """The word for ``error``."""
    return Failed(isinstance(error, InvalidInput), error.what, error.where, error.mend)


def parsed(line: bytes) -> Word | None:
    """The word in ``line``; None for anything else, as the traceback of a broken installation."""
    try:
        word: Word = msgspec.json.decode(line, type=Word)
    except msgspec.DecodeError:
        return None
    return word


class Report:
    """The guard's end of the pipe, on descriptor ``descriptor``."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor: int | None = descriptor

    def say(self, word: Word) -> None:
        """Say ``word``. The last word is followed by the end of the pipe; nobody may be listening any more."""
        if self._descriptor is None:
            return
        with suppress(OSError):
            os.write(self._descriptor, msgspec.json.encode(word) + b"\n")
        if not isinstance(word, Doing):
            os.close(self._descriptor)
            self._descriptor = None
