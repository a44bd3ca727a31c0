"""``rackwright load``: prove what a service bears."""

from __future__ import annotations

import click

from rackwright.cli.lazy import Lazy, LazyGroup

COMMANDS: dict[str, Lazy] = {}


@click.group(cls=LazyGroup, lazy=COMMANDS)
def load() -> None:
    """Prove what a service bears: load by Rally's task files, judged by what they promise."""
