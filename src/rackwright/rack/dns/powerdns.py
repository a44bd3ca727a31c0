"""PowerDNS (https://doc.powerdns.com/authoritative/) answers for the rack's names from rows in SQLite, and for nothing
else: what is no name of the rack is refused, unless the operator says who is to be asked for it (see ``dnsdist``)."""

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
from rackwright.rack.dhcp.files import read_lines, write_whole
from rackwright.rack.dhcp.process import STARTED, ServerProcess, end_former, runs
from rackwright.rack.dns.dnsdist import Dnsdist, is_wanted
from rackwright.rack.dns.records import Records

PORT = 53

INNER = ("127.0.0.1", 10053)
"""Where it answers while another server stands before it."""

PACKAGES = "pdns-server and pdns-backend-sqlite3, or start the rack with --no-dns"

PIDS = "pdns.pid"
"""File with the id of the process that runs."""

log = structlog.get_logger()


class PowerDns:
    """One PowerDNS with its rows in ``folder``. It answers on the rack's addresses once a network has a domain. It goes
    on when the rack's process is killed, and the next one takes it over, unless it is ``tied`` (see
    ``ServerProcess``)."""

    name = "powerdns"

    def __init__(self, folder: str, port: int = PORT, *, tied: bool = False) -> None:
        self._folder = folder
        self._port = port
        self._process = ServerProcess("pdns_server", PACKAGES, tied=tied)
        self._front = Dnsdist(os.path.join(folder, "front"), port, INNER, tied=tied)
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
            zones = self._naming.zones()
            if is_wanted(answers):
                await self._run(answers if zones else None, INNER)
                await self._front.answer(answers, zones)
            else:
                if not same:
                    await self._front.close()
                await self._run(answers if zones else None)
            self._frame = answers.frame()

    async def close(self) -> None:
        """See the protocol."""
        await self._front.close()
        await self._process.stop()
        self._configured = []
        await end_former(self._pids, self._folder)
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

    async def _run(self, answers: Answers | None, inner: tuple[str, int] | None = None) -> None:
        """Have it run with the configuration for these answers; None: it is not to run. ``inner``: where it answers
        instead of the rack's addresses."""
        lines = configuration(answers, self._folder, self._port, inner) if answers is not None else []
        if lines == self._configured and (not lines or await self._runs()):
            return
        if not self._configured and lines == await asyncio.to_thread(read_lines, self._path) and await self._runs():
            # The one that a process has left behind which was killed: nobody is without an answer.
            self._configured = lines
            return
        await self._process.stop()
        await end_former(self._pids, self._folder)
        if any(line.startswith("local-address=") for line in lines):
            await self._start(lines)
        self._configured = lines

    async def _runs(self) -> bool:
        return self._process.running or await runs(self._pids, self._folder)

    @property
    def _pids(self) -> str:
        return os.path.join(self._folder, PIDS)

    @property
    def _path(self) -> str:
        return os.path.join(self._folder, "pdns.conf")

    async def _start(self, lines: list[str]) -> None:
        await asyncio.to_thread(write_whole, self._path, "\n".join(lines) + "\n")
        await self._process.start([f"--config-dir={self._folder}"])
        until = asyncio.get_running_loop().time() + STARTED
        # It writes its id after it answers the first control; the next process of the rack goes by that.
        while not (await self._answers_control() and await runs(self._pids, self._folder)):
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


def configuration(answers: Answers, folder: str, port: int, inner: tuple[str, int] | None = None) -> list[str]:
    """The lines of its configuration. ``inner``: where it answers instead of the rack's addresses."""
    addresses = [str(ipaddress.ip_address(network.address)) for network, _ in answers.present()]
    if inner is not None:
        addresses, port = [inner[0]], inner[1]
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
