"""``rackwright postgres``: have the embedded PostgreSQL running, for tools like psql and pg_dump."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path

import click

from rackwright.store import embedded
from rackwright.store.embedded import programs


@click.command()
@click.option(
    "--data",
    envvar="RACKWRIGHT_DATA",
    required=True,
    type=click.Path(file_okay=False, path_type=Path),
    help="The data folder.",
)
def postgres(data: Path) -> None:
    r"""Have the embedded PostgreSQL running until Ctrl-C, and print how to reach it.

    \b
    Example:
      rackwright postgres --data ~/rackwright
      psql "postgresql://..."     # the line that it printed; it holds no password

    The server stays for the other commands that use it.
    """
    asyncio.run(_serve(data))


async def _serve(data: Path) -> None:
    told = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, told.set)
    async with embedded.running(data, tell=lambda text: click.echo(text, err=True)) as dsn:
        click.echo(dsn)
        click.echo(
            f"PostgreSQL is ready; psql and pg_dump are in {programs.found().place}/bin; Ctrl-C ends this", err=True
        )
        await told.wait()
