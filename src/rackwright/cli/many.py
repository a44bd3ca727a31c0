"""Doing one thing to many: each gets its result, and the exit code tells whether some failed."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import click

from rackwright.cli import exits
from rackwright.cli.output import say
from rackwright.core.errors import RackwrightError


def each(names: Iterable[str], act: Callable[[str], object], did: str) -> None:
    """Do ``act`` to every name and say what became of it. The command ends with PARTIAL when some failed, with the
    first error's code when all did."""
    failed: list[RackwrightError] = []
    good = 0
    for name in names:
        try:
            act(name)
        except RackwrightError as error:
            exits.tell(error)
            failed.append(error)
        else:
            say(f"{name} {did}")
            good += 1
    if failed:
        raise click.exceptions.Exit(exits.PARTIAL if good else exits.code_of(failed[0]))
