"""Exit codes, and how an error is told: what, where, how to mend it, and the id of the request."""

from __future__ import annotations

import click

from rackwright.core.errors import Conflict, InvalidInput, NotAllowed, NotFound, RackwrightError

OK = 0
ERROR = 1
USAGE = 2
CHANGES = 2
"""``plan --detailed-exitcode``: there is something to do."""
NOT_FOUND = 3
CONFLICT = 4
NOT_ALLOWED = 5
PARTIAL = 6
"""Some of many failed."""
SLA_BROKEN = 7
"""A load broke what its task promises."""
TIMEOUT = 124
INTERRUPTED = 130

_CODES: dict[type[RackwrightError], int] = {NotFound: NOT_FOUND, Conflict: CONFLICT, NotAllowed: NOT_ALLOWED}
_STATUSES = {401: NOT_ALLOWED, 403: NOT_ALLOWED, 404: NOT_FOUND, 409: CONFLICT}


class ServerProblem(RackwrightError):
    """The api refused: its problem (RFC 9457), with the HTTP status and the id of the request."""

    def __init__(
        self, what: str, *, where: str, mend: str, status: int, faults: tuple[str, ...], request_id: str
    ) -> None:
        super().__init__(what, where=where, mend=mend)
        self.status = status
        self.faults = faults
        self.request_id = request_id


def code_of(error: RackwrightError) -> int:
    """The exit code that an error ends a command with."""
    if isinstance(error, ServerProblem):
        return _STATUSES.get(error.status, ERROR)
    return next((_CODES[kind] for kind in type(error).__mro__ if kind in _CODES), ERROR)


def tell(error: RackwrightError) -> None:
    """Print an error on stderr."""
    click.echo(click.style("error: ", fg="red", bold=True) + error.what, err=True)
    if error.where:
        click.echo(f"where: {error.where}", err=True)
    if isinstance(error, InvalidInput | ServerProblem):
        for fault in error.faults:
            click.echo(f"  - {fault}", err=True)
    if error.mend:
        click.echo(f"mend:  {error.mend}", err=True)
    if isinstance(error, ServerProblem) and error.request_id:
        click.echo(f"request: {error.request_id}", err=True)
