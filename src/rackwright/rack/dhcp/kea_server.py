"""One of Kea's servers: a process of its own that is told its configuration over its control socket.

It goes on answering when the rack's process is killed, and the next one takes it over.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import os
from collections.abc import Mapping

import structlog

from rackwright.core.errors import Retryable
from rackwright.rack.dhcp.files import write_whole
from rackwright.rack.dhcp.kea_control import KeaControl
from rackwright.rack.dhcp.process import STARTED, ServerProcess, end_former

SOCKET = 107
"""Bytes of the path of a Unix socket, at most (unix(7))."""

log = structlog.get_logger()


class KeaServer:
    """The ``program`` of a Debian ``package``; its configuration, leases and socket are in ``folder``. ``tied``: see
    ``ServerProcess``."""

    def __init__(self, folder: str, program: str, package: str, *, tied: bool = False) -> None:
        self.folder = folder
        self.control = KeaControl(os.path.join(folder, "control"))
        self._program = program
        self._process = ServerProcess(program, package, tied=tied)

    async def tell(self, wanted: Mapping[str, object], lives: bool) -> None:
        """Have it work by this configuration; start it unless it ``lives``. Raises ``Retryable`` when it does not take
        it: then it goes on as before.

        One that was left behind and works by it already is left alone: to be told opens its sockets anew, and a
        question that comes at that moment is lost."""
        text = json.dumps(wanted, indent=1)
        if lives and await asyncio.to_thread(self._works_by, text):
            return
        await asyncio.to_thread(self._write, text)
        if lives:
            await self.control.command("config-set", text)
        else:
            await self._start()
        # Without it the next process tells it anew.
        with contextlib.suppress(OSError):
            await asyncio.to_thread(os.symlink, _digest(text), self._told)

    async def close(self) -> None:
        """End it, also one that was left behind."""
        with contextlib.suppress(Retryable):
            await self.control.command("shutdown", "{}")
        await self._process.stop()

    async def _start(self) -> None:
        if len(os.fsencode(self.control.socket)) > SOCKET:
            raise Retryable(
                f"Kea cannot have a socket whose path is longer than {SOCKET} bytes",
                where=self.control.socket,
                mend="give the rack a folder with a shorter path",
            )
        await end_former(os.path.join(self.folder, f"{self._program}.{self._program}.pid"), self._path)
        with contextlib.suppress(FileNotFoundError):
            os.remove(self.control.socket)
        places = {"KEA_PIDFILE_DIR": self.folder, "KEA_LOCKFILE_DIR": self.folder}
        await self._process.start(["-c", self._path], places)
        until = asyncio.get_running_loop().time() + STARTED
        while not await self.control.lives():
            if not self._process.running or asyncio.get_running_loop().time() > until:
                said = self._process.tail
                await self._process.stop()
                raise Retryable(f"Kea does not start: {said}", where=self.folder)
            await asyncio.sleep(0.02)
        log.info("Kea answers DHCP", program=self._program, folder=self.folder)

    @property
    def _path(self) -> str:
        return os.path.join(self.folder, f"{self._program}.conf")

    @property
    def _told(self) -> str:
        """A link whose text is the digest of the configuration by which it works; while that changes it is away."""
        return os.path.join(self.folder, f"{self._program}.told")

    def _works_by(self, text: str) -> bool:
        with contextlib.suppress(OSError):
            return os.readlink(self._told) == _digest(text)
        return False

    def _write(self, text: str) -> None:
        """Write the configuration for its next start."""
        with contextlib.suppress(FileNotFoundError):
            os.remove(self._told)
        write_whole(self._path, text)


def _digest(text: str) -> str:
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()
