"""Every error of the product.

RackwrightError
├── InvalidInput        400  what a person or program gave is wrong
├── NotFound            404  a name that is not known
├── Conflict            409  true a moment ago, no longer
├── NotAllowed          403  a token that is missing, wrong or too weak
├── DriverError              the world did not do as asked; the only errors that a driver raises
│   ├── Retryable            it may do so later
│   └── Permanent            it never will
├── StoreUnavailable    503  the database cannot be reached or used
└── TryAgain                 two transactions got in each other's way; the same work may be repeated at once

An error says *what* is wrong, *where*, and how to *mend* it.
"""

from __future__ import annotations


class RackwrightError(Exception):
    """Something is wrong: ``what`` it is, ``where`` (a file and line, a node, an address), and how to ``mend`` it."""

    def __init__(self, what: str, *, where: str = "", mend: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.where = where
        self.mend = mend

    def __str__(self) -> str:
        """One line: where, what, mend; empty parts are left out."""
        place = f"{self.where}: " if self.where else ""
        mend = f" ({self.mend})" if self.mend else ""
        return f"{place}{self.what}{mend}"


class InvalidInput(RackwrightError):
    """What was given is wrong; ``faults`` holds every single fault when there is more than one."""

    def __init__(self, what: str, *, where: str = "", mend: str = "", faults: tuple[str, ...] = ()) -> None:
        super().__init__(what, where=where, mend=mend)
        self.faults = faults


class NotFound(RackwrightError):
    """The named thing is not known."""


class Conflict(RackwrightError):
    """The thing moved since it was read, or two claims exclude each other."""


class NotAllowed(RackwrightError):
    """The caller has no token, a wrong one, or one that does not reach this far."""


class DriverError(RackwrightError):
    """The world did not do as asked."""


class Retryable(DriverError):
    """The same request may succeed later; ``after`` is the wait in seconds, None for the task's own retry rule."""

    def __init__(self, what: str, *, where: str = "", mend: str = "", after: float | None = None) -> None:
        super().__init__(what, where=where, mend=mend)
        self.after = after


class Permanent(DriverError):
    """The same request will never succeed."""


class StoreUnavailable(RackwrightError):
    """The database cannot be reached, or its data folder cannot be used."""


class TryAgain(RackwrightError):
    """Two transactions got in each other's way and this one was undone; repeat the whole of it."""
