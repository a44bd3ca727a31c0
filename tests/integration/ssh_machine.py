"""A machine on loopback that is reached by SSH: a server of the test's own that runs what it is told on this host."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import asyncssh


@dataclass(frozen=True)
class SshMachine:
    """Where it is, and its host key as a line."""

    port: int
    host_key: str


@asynccontextmanager
async def ssh_machine(authorized: str, folder: Path) -> AsyncIterator[SshMachine]:
    """Serve until the block ends; who has the key of ``authorized`` (a line of authorized_keys) is let in."""
    key = asyncssh.generate_private_key("ssh-ed25519")
    keys = folder / "authorized_keys"
    keys.write_text(authorized + "\n")
    server = await asyncssh.listen(
        "127.0.0.1", 0, server_host_keys=[key], authorized_client_keys=str(keys), process_factory=_serve,
        sftp_factory=True, encoding=None,
    )  # fmt: skip
    try:
        yield SshMachine(server.get_port(), key.export_public_key().decode().strip())
    finally:
        server.close()
        await server.wait_closed()


async def _serve(process: asyncssh.SSHServerProcess[bytes]) -> None:
    """Run a command with its three streams, until it has ended: some clients never end their input."""
    running = await asyncio.create_subprocess_exec(
        "/bin/sh", "-c", process.command or "exit 1", stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert running.stdin is not None
    assert running.stdout is not None
    assert running.stderr is not None
    feeding = asyncio.create_task(_feed(process.stdin, running.stdin))
    try:
        await asyncio.gather(_copy(running.stdout, process.stdout), _copy(running.stderr, process.stderr))
        process.exit(await running.wait())
    finally:
        feeding.cancel()
        if running.returncode is None:
            running.kill()
            await running.wait()
        await asyncio.gather(feeding, return_exceptions=True)
        running.stdin.close()


async def _feed(source: asyncssh.SSHReader[bytes], to: asyncio.StreamWriter) -> None:
    while data := await source.read(65536):
        to.write(data)
        await to.drain()
    to.close()


async def _copy(source: asyncio.StreamReader, to: asyncssh.SSHWriter[bytes]) -> None:
    while data := await source.read(65536):
        to.write(data)
