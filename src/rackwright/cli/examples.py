"""Examples in the help of commands, as they are typed."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import click

C = TypeVar("C", bound=click.Command)
_AS_IT_IS = "\b"
"""Click leaves the paragraph after this character as it is."""


def examples(*lines: str) -> Callable[[C], C]:
    """Put examples below the help of a command; goes above ``@click.command``."""

    def add(command: C) -> C:
        text = "\n".join(f"  {line}" for line in lines)
        command.help = f"{command.help or ''}\n\n{_AS_IT_IS}\nExamples:\n{text}"
        return command

    return add
