"""``rackwright dask``: the scheduler that shares serialisation out to workers, and the certificates for it."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path
from typing import Any

import click
import structlog

from rackwright.cli.examples import examples
from rackwright.cli.settings import data_folder
from rackwright.commands.configuration import DASK
from rackwright.commands.logging_setup import configure_logging
from rackwright.core.errors import StoreUnavailable
from rackwright.engine.serialization.dask.certificates import VALID_DAYS, make_certificates, security
from rackwright.engine.serialization.dask.library import NO_PAGES, configure

LOOPBACK = ("localhost", "127.0.0.1")

log = structlog.get_logger()


@click.group()
def dask() -> None:
    """Share serialisation out to many machines."""


@examples("rackwright dask certs --out ./dask --host ctl1.example.net")
@dask.command()
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), required=True, help="The folder to make.")
@click.option("--host", "hosts", multiple=True, metavar="NAME", help="A name or address of the machines; repeatable.")
@click.option("--days", type=click.IntRange(min=1), default=VALID_DAYS, show_default=True, help="How long they hold.")
def certs(*, out: Path, hosts: tuple[str, ...], days: int) -> None:
    """Make the certificates with which scheduler, workers and clients know each other.

    The scheduler needs ca.pem, scheduler.pem and scheduler.key; a worker ca.pem, worker.pem and worker.key; a conductor
    ca.pem, client.pem and client.key. Who holds a key can run code on the workers: keep them secret.
    """
    for path in make_certificates(out, [*dict.fromkeys((*LOOPBACK, *hosts))], days):
        click.echo(path)


@dask.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="Where it listens.")
@click.option("--port", type=click.IntRange(0, 65535), required=True, help="Its port; 0: any, told in the log.")
@click.option(
    "--certificates",
    type=click.Path(file_okay=False, path_type=Path),
    help="Their folder.  [default: dask in the data]",
)
@click.option("--dashboard", metavar="HOST:PORT", help="Show Dask's own pages there, without encryption or password.")
def scheduler(*, host: str, port: int, certificates: Path | None, dashboard: str | None) -> None:
    """Run a Dask scheduler with TLS, until SIGTERM or Ctrl-C."""
    configure_logging("scheduler")
    asyncio.run(_serve(host, port, certificates or Path(data_folder(os.environ)) / DASK, dashboard))


async def _serve(host: str, port: int, certificates: Path, dashboard: str | None) -> None:
    configure(pages=dashboard is not None)
    from distributed import Scheduler

    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    pages: dict[str, Any] = {"dashboard": bool(dashboard), "dashboard_address": dashboard or NO_PAGES}
    serving = Scheduler(host=host, port=port, protocol="tls", security=security(certificates, "scheduler"), **pages)
    try:
        async with serving:
            log.info("scheduler began", address=serving.address)
            await stop.wait()
    except OSError as error:
        raise StoreUnavailable(
            f"the scheduler cannot listen: {error}",
            where=f"{host}:{port}",
            mend="end what uses the port, or take another",
        ) from None
    log.info("scheduler ended")
