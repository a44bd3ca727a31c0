"""PowerDNS (https://doc.powerdns.com/authoritative/) answers for the rack's names from rows in SQLite, and for nothing
else: what is no name of the rack is refused."""

from __future__ import annotations

import asyncio
import ipaddress
import os
import shutil
import sqlite3
import time
from collections.abc import Collection

import structlog

from rackwright.core.dhcp import Answers
from rackwright.core.errors import Retryable
from rackwright.core.names import Naming
from rackwright.rack.dhcp.process import STARTED, ServerProcess, end_former
from rackwright.rack.dns.records import Records

PORT = 53

PACKAGES = "pdns-server and pdns-backend-sqlite3, or start the rack with --no-dns"

PIDS = "pdns.pid"
"""File with the id of the process that runs."""

log = structlog.get_logger()


class PowerDns:
    """One PowerDNS with its rows in ``folder``. It answers on the rack's addresses once a network has a domain."""

    name = "powerdns"

    def __init__(self, folder: str, port: int = PORT) -> None:
        self._folder = folder
        self._port = port
        self._process = ServerProcess("pdns_server", PACKAGES)
        self._records: Records | None = None
        self._naming = Naming(())
        self._frame: tuple[object, ...] | None = None
        self._configured: list[str] = []
        self._writing = asyncio.Lock()

    async def answer(self, answers: Answers, changed: Collection[int] | None = None) -> None:
        """See the protocol."""
        async with self._writing:
            same = self._frame == answers.frame()
            if not same or changed is None or changed:
                await self._write(answers, changed if same else None)
            await self._run(answers)
            self._frame = answers.frame()

    async def close(self) -> None:
        """See the protocol."""
        await self._process.stop()
        await end_former(os.path.join(self._folder, PIDS), self._folder)
        if self._records is not None:
            self._records.close()
        self._records, self._frame = None, None

    async def _write(self, answers: Answers, changed: Collection[int] | None) -> None:
        """Have the rows of what has changed; None: of all."""
        naming = self._naming if changed is not None else Naming(answers.networks)
        try:
            if self._records is None:
                self._records = await asyncio.to_thread(self._opened)
            records = self._records
            if changed is None:
                await asyncio.to_thread(records.replace, naming, dict(answers.hosts), int(time.time()))
            else:
                await asyncio.to_thread(records.change, naming, answers.hosts, changed)
        except (sqlite3.Error, OSError) as error:
            self._frame = None
            raise Retryable(f"the rack's names cannot be written: {error}", where=self._folder) from error
        self._naming = naming

    def _opened(self) -> Records:
        os.makedirs(self._folder, mode=0o700, exist_ok=True)
        return Records(os.path.join(self._folder, "names.sqlite"))

    async def _run(self, answers: Answers) -> None:
        """Have it run, or not, with the configuration for these answers."""
        lines = configuration(answers, self._folder, self._port) if self._naming.zones() else []
        if (self._process.running or not lines) and lines == self._configured:
            return
        await self._process.stop()
        if any(line.startswith("local-address=") for line in lines):
            await self._start(lines)
        self._configured = lines

    async def _start(self, lines: list[str]) -> None:
        path = os.path.join(self._folder, "pdns.conf")
        await asyncio.to_thread(_written, path, lines)
        await end_former(os.path.join(self._folder, PIDS), self._folder)
        await self._process.start([f"--config-dir={self._folder}"])
        until = asyncio.get_running_loop().time() + STARTED
        while not await self._answers_control():
            if not self._process.running or asyncio.get_running_loop().time() > until:
                said = self._process.tail
                await self._process.stop()
                mend = "see whether something else answers DNS here, and whether pdns-backend-sqlite3 is installed"
                raise Retryable(f"PowerDNS does not start: {said}", where=self._folder, mend=mend)
            await asyncio.sleep(0.05)
        log.info("PowerDNS answers", folder=self._folder)

    async def _answers_control(self) -> bool:
        program = shutil.which("pdns_control", path=os.environ.get("PATH", "") + ":/usr/bin:/usr/sbin")
        if program is None:
            return False
        asking = await asyncio.create_subprocess_exec(
            program, f"--config-dir={self._folder}", "rping",
            stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL,
        )  # fmt: skip
        return await asking.wait() == 0


def configuration(answers: Answers, folder: str, port: int) -> list[str]:
    """The lines of its configuration."""
    addresses = [str(ipaddress.ip_address(network.address)) for network, _ in answers.present()]
    listening = [f"local-address={', '.join(dict.fromkeys(addresses))}"] if addresses else []
    return [
        *listening,
        f"local-port={port}",
        "daemon=no",
        "guardian=no",
        "write-pid=yes",
        f"socket-dir={folder}",
        "launch=gsqlite3",
        f"gsqlite3-database={os.path.join(folder, 'names.sqlite')}",
        "gsqlite3-pragma-synchronous=0",
        "gsqlite3-dnssec=no",
        # What has changed is answered at once: nothing is kept.
        "cache-ttl=0",
        "query-cache-ttl=0",
        "negquery-cache-ttl=0",
        "zone-cache-refresh-interval=0",
        "disable-axfr=yes",
        "version-string=anonymous",
        "receiver-threads=1",
        "distributor-threads=1",
        "loglevel=4",
    ]


def _written(path: str, lines: list[str]) -> None:
    with open(os.open(f"{path}.new", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.write("\n".join(lines) + "\n")
    os.replace(f"{path}.new", path)
