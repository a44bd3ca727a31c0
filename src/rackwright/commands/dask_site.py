"""What ``rackwright up --dask`` adds: a Dask scheduler with TLS, and workers on this machine."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from rackwright.cli.output import write_text
from rackwright.commands.configuration import ADDRESS, DASK, UpSetting
from rackwright.commands.supervisor import Child, Program
from rackwright.commands.workers import WORKER
from rackwright.core.errors import InvalidInput
from rackwright.engine.serialization.dask.certificates import AUTHORITY, make_certificates, security

PATIENCE = 60.0
"""Seconds for the scheduler to become ready."""
LOOPBACK = ("localhost", "127.0.0.1")


@dataclass(frozen=True)
class DaskSite:
    """The scheduler and workers of this machine: their folder, where the scheduler listens, how many workers."""

    folder: Path
    host: str
    port: int
    workers: int

    @property
    def address(self) -> str:
        """The scheduler's address, as processes of this machine reach it."""
        address = ipaddress.ip_address(self.host) if _is_address(self.host) else None
        if address is not None and address.is_unspecified:
            address = ipaddress.ip_address("127.0.0.1" if address.version == 4 else "::1")
        host = str(address or self.host)
        return f"tls://{f'[{host}]' if ':' in host else host}:{self.port}"

    @property
    def environment(self) -> dict[str, str]:
        """What a process of this machine is told, to find the scheduler."""
        return {"RACKWRIGHT_SCHEDULER": self.address, "RACKWRIGHT_CERTIFICATES": str(self.folder)}

    async def start(self, stages: list[list[Child]], dsn: str) -> None:
        """Start the scheduler, and when it is ready the workers, which tell the database that they are there. Raises
        StoreUnavailable when the scheduler does not start."""
        where = ("--host", self.host, "--port", str(self.port), "--certificates", str(self.folder))
        scheduler = Child(Program("dask scheduler", ("dask", "scheduler", *where)))
        stages.append([scheduler])
        await scheduler.ready(self._answers, PATIENCE)
        arguments = ("serializer", "--node", socket.gethostname(), "--control", "--workers", "1")
        told = self.environment | {"RACKWRIGHT_DSN": dsn}
        numbers = [str(number + 1) for number in range(self.workers)]
        stages.append([Child(Program(f"serializer {n}", arguments, told | {WORKER: n})) for n in numbers])

    async def _answers(self) -> bool:
        """Whether the scheduler takes our certificate."""
        context = security(self.folder, "client").get_connection_args("client")["ssl_context"]
        try:
            _, writer = await asyncio.open_connection(self.host, self.port, ssl=context)
        except OSError:
            return False
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()
        return True


@contextlib.contextmanager
def dask_site(setting: UpSetting) -> Iterator[DaskSite | None]:
    """Give the scheduler and workers to run, None when none are asked for. Certificates are made at the first start.
    While the context lasts, other processes find the address in the data folder. Raises InvalidInput when the
    scheduler cannot listen there."""
    folder = setting.data / DASK
    address = folder / ADDRESS
    address.unlink(missing_ok=True)
    if not setting.dask:
        yield None
        return
    site = DaskSite(folder, setting.dask_host, _free_port(setting.dask_host, setting.dask_port), setting.dask_workers)
    if not (folder / AUTHORITY).exists():
        make_certificates(folder, [*dict.fromkeys((*LOOPBACK, setting.dask_host))])
    write_text(f"{site.address}\n", address)
    try:
        yield site
    finally:
        address.unlink(missing_ok=True)


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _free_port(host: str, port: int) -> int:
    """Give the port if it is free; for 0, one that is."""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise InvalidInput(
                f"the Dask scheduler cannot listen there: {error.strerror}",
                where=f"{host}:{port}",
                mend="end what uses the port, or give another --dask-port",
            ) from None
        found: int = probe.getsockname()[1]
        return found
