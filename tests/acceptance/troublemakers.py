"""What makes trouble for a site: a wire that can be cut, a disk that is full, and a rack beyond that wire."""

from __future__ import annotations

import asyncio
import os
import re
import resource
import signal
import socket
import struct
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

VERDICT = re.compile(rb'"id":(\d+),"attempt":(\d+),"taken":true')
PIECE = 65536
AT_ONCE = struct.pack("ii", 1, 0)
"""SO_LINGER that lets a closed connection end with a reset."""
DISK = "3m"
FILE_LIMIT = 4096
"""Bytes of a file where no disk can be mounted."""


class Wire:
    """A TCP relay to the api in a thread of its own, that can be stalled and cut. It remembers which results the api
    has acknowledged through it, as (id, attempt). ``host``: where it listens."""

    def __init__(self, port: int, host: str = "127.0.0.1") -> None:
        self.acknowledged: set[tuple[int, int]] = set()
        self._target = port
        self._open = asyncio.Event()
        self._links: set[asyncio.StreamWriter] = set()
        self._loop = asyncio.new_event_loop()
        self._listening = socket.create_server((host, 0))
        self.port = int(self._listening.getsockname()[1])
        self._thread = threading.Thread(target=self._loop.run_until_complete, args=(self._serve(),), daemon=True)
        self._ending = asyncio.Event()
        self._thread.start()

    def stall(self) -> None:
        """Let nothing through, and close nothing."""
        self._loop.call_soon_threadsafe(self._open.clear)

    def flow(self) -> None:
        """Let everything through again."""
        self._loop.call_soon_threadsafe(self._open.set)

    def cut(self) -> None:
        """Reset every connection that there is."""
        self._loop.call_soon_threadsafe(self._cut)

    def end(self) -> None:
        """Close everything."""
        self._loop.call_soon_threadsafe(self._ending.set)
        self._thread.join()
        self._loop.close()

    def _cut(self) -> None:
        for writer in self._links:
            link = writer.get_extra_info("socket")
            with suppress(OSError):
                link.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, AT_ONCE)
            writer.transport.abort()

    async def _serve(self) -> None:
        self._open.set()
        server = await asyncio.start_server(self._relay, sock=self._listening)
        await self._ending.wait()
        server.close()
        self._cut()
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        # What was cut is closed in the loop's next turn.
        await asyncio.sleep(0)

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._links.add(writer)
        with suppress(OSError, asyncio.CancelledError):
            there, back = await asyncio.open_connection("127.0.0.1", self._target)
            self._links.add(back)
            await asyncio.gather(self._pump(reader, back, False), self._pump(there, writer, True))
            self._links.discard(back)
            back.close()
        self._links.discard(writer)
        writer.close()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, answers: bool) -> None:
        tail = b""
        with suppress(OSError):
            while piece := await reader.read(PIECE):
                if answers:
                    self.acknowledged |= {(int(id), int(attempt)) for id, attempt in VERDICT.findall(tail + piece)}
                    tail = (tail + piece)[-200:]
                await self._open.wait()
                writer.write(piece)
                await writer.drain()
        with suppress(OSError):
            writer.write_eof()


@contextmanager
def small_disk(folder: Path) -> Iterator[bool]:
    """A small disk of its own at the folder while this lasts; False where this process may not mount one."""
    folder.mkdir(parents=True, exist_ok=True)
    mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK}", "tmpfs", str(folder)]
    mounted = os.geteuid() == 0 and subprocess.run(mount, capture_output=True, check=False).returncode == 0
    try:
        yield mounted
    finally:
        if mounted:
            subprocess.run(["umount", "--lazy", str(folder)], check=True)


def fill(folder: Path) -> None:
    """Leave no room on the disk of this folder."""
    with suppress(OSError), open(folder / "filler", "wb", buffering=0) as file:
        while True:
            file.write(bytes(PIECE))


def empty(folder: Path) -> None:
    """Give the room back."""
    (folder / "filler").unlink(missing_ok=True)


class FarRack:
    """A rack of its own process, beyond a wire."""

    def __init__(self, name: str, api: str, token: Path, data: Path, log: Path) -> None:
        self.words = ["rack", "run", "--name", name, "--api", api, "--token-file", str(token), "--data", str(data)]
        self.log = log
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, small_files: bool = False) -> None:
        """Begin; with ``small_files`` no file of it can grow far, as on a disk that is full."""
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", "rackwright", *self.words],
                env={"PATH": os.environ["PATH"]}, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                start_new_session=True,
            )  # fmt: skip
        if small_files:
            resource.prlimit(self._process.pid, resource.RLIMIT_FSIZE, (FILE_LIMIT, before[1]))

    def kill(self) -> None:
        """Kill it, as the kernel does when memory is short."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def end(self) -> None:
        """End it in order."""
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
            try:
                self._process.wait(60)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
