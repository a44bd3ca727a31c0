"""NATS: messages through a server, and back. The protocol is the client protocol of docs.nats.io, lines of text.

One connection for each server and load process; iterations share it.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets

import msgspec

from rackwright.load.nats_key import SHARED, signed_in
from rackwright.load.scenario import Scenario, Surroundings

MOST_LINE = 1 << 20

Hosts = str | list[str]
"""A server, or several, each as ``HOST:PORT``."""


class NatsFailed(Exception):
    """The server refused, or is gone."""


class _Info(msgspec.Struct):
    max_payload: int = 1 << 20
    nonce: str = ""


class Connection:
    """A connection to one server, with a subscription for answers to this process."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._inbox = f"_INBOX.{secrets.token_hex(8)}"
        self._waiting: dict[str, asyncio.Future[bytes]] = {}
        self._pongs: list[asyncio.Future[None]] = []
        self._fault: NatsFailed | None = None
        self._reading: asyncio.Task[None] | None = None
        self._count = 0
        self.max_payload = 0

    @classmethod
    async def open(cls, host: str, port: int, key: str = "") -> Connection:
        """Connect, and wait until the server takes messages; ``key`` is the user's secret one, if it needs any."""
        reader, writer = await asyncio.open_connection(host, port, limit=MOST_LINE)
        connection = cls(reader, writer)
        words, _, info = (await reader.readline()).partition(b" ")
        if words != b"INFO":
            writer.close()
            raise NatsFailed("this is no NATS server")
        told = msgspec.json.decode(info, type=_Info)
        connection.max_payload = told.max_payload
        options = {"verbose": False, "pedantic": False, "lang": "python", "version": "1", "name": "rackwright load"}
        if key:
            options |= signed_in(key, told.nonce.encode())
        writer.write(b"CONNECT " + msgspec.json.encode(options) + b"\r\n")
        writer.write(f"SUB {connection._inbox}.* 1\r\n".encode())
        connection._reading = asyncio.create_task(connection._read())
        await connection.flush()
        return connection

    @property
    def usable(self) -> bool:
        """Whether it can still be used."""
        return self._fault is None

    def publish(self, subject: str, payload: bytes, answer_to: str = "") -> None:
        """Send a message; see `flush`. Raises NatsFailed when the connection is gone."""
        if self._fault is not None:
            raise self._fault
        head = f"PUB {subject} {answer_to} {len(payload)}\r\n" if answer_to else f"PUB {subject} {len(payload)}\r\n"
        self._writer.write(head.encode() + payload + b"\r\n")

    async def flush(self) -> None:
        """Wait until the server has taken all that was sent."""
        if self._fault is not None:
            raise self._fault
        pong: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._pongs.append(pong)
        self._writer.write(b"PING\r\n")
        await pong

    async def request(self, subject: str, payload: bytes) -> bytes:
        """Send a message and wait for the answer of whoever listens."""
        self._count += 1
        inbox = f"{self._inbox}.{self._count}"
        answer: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._waiting[inbox] = answer
        try:
            self.publish(subject, payload, inbox)
            return await answer
        finally:
            del self._waiting[inbox]

    def subscribe_inbox(self) -> tuple[str, asyncio.Future[bytes]]:
        """A subject that only this process hears, and the next message on it."""
        self._count += 1
        inbox = f"{self._inbox}.{self._count}"
        message: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._waiting[inbox] = message
        message.add_done_callback(lambda _: self._waiting.pop(inbox, None))
        return inbox, message

    async def _read(self) -> None:
        try:
            while line := await self._reader.readline():
                await self._take(line.rstrip())
            self._fail(NatsFailed("the server closed the connection"))
        except (OSError, ValueError, asyncio.IncompleteReadError) as error:
            self._fail(NatsFailed(f"the connection is gone: {error}"))

    async def _take(self, line: bytes) -> None:
        if line.startswith(b"MSG "):
            words = line.split()
            payload = (await self._reader.readexactly(int(words[-1]) + 2))[:-2]
            waiting = self._waiting.get(words[1].decode())
            if waiting is not None and not waiting.done():
                waiting.set_result(payload)
        elif line == b"PING":
            self._writer.write(b"PONG\r\n")
        elif line == b"PONG":
            pong = self._pongs.pop(0)
            if not pong.done():
                pong.set_result(None)
        elif line.startswith(b"-ERR"):
            self._fail(NatsFailed(line.decode(errors="replace")))

    def _fail(self, fault: NatsFailed) -> None:
        self._fault = fault
        self._writer.close()
        for future in list(self._waiting.values()):
            if not future.done():
                future.set_exception(fault)
        for pong in self._pongs:
            if not pong.done():
                pong.set_exception(fault)


async def connection_to(surroundings: Surroundings, host: str, port: int) -> Connection:
    """The connection of this load process to a server; a new one when the last is gone."""
    place = f"nats://{host}:{port}"
    opening: asyncio.Task[Connection] | None = surroundings.kept.get(place)
    if opening is not None and opening.done() and (opening.exception() is not None or not opening.result().usable):
        opening = None
    if opening is None:
        key = surroundings.context.get(SHARED, "")
        opening = surroundings.kept[place] = asyncio.create_task(Connection.open(host, port, key))
    # One iteration that is cancelled takes the connection from no other.
    return await asyncio.shield(opening)


class _Nats(Scenario):
    """Talks to one server, or to several in turn."""

    async def connected(self, host: Hosts, port: int) -> Connection:
        """A connection to the server, or to the one whose turn it is in this iteration."""
        if isinstance(host, list):
            host, _, own = host[self.iteration % len(host)].rpartition(":")
            port = int(own)
        return await connection_to(self.surroundings, host, port)


class NatsPublish(_Nats):
    """Nats.publish: sends a message and waits until the server has it."""

    async def run(self, host: Hosts, subject: str, port: int = 4222, size: int = 16, within: float = 10.0) -> None:
        """Send ``size`` bytes."""
        async with asyncio.timeout(within):
            connection = await self.connected(host, port)
            with self.atomic("nats.publish"):
                connection.publish(subject, b"x" * size)
                await connection.flush()


class NatsEcho(_Nats):
    """Nats.echo: sends a message to itself through the server."""

    async def run(self, host: Hosts, port: int = 4222, size: int = 16, within: float = 10.0) -> None:
        """Send ``size`` bytes, and wait until they are back."""
        async with asyncio.timeout(within):
            connection = await self.connected(host, port)
            inbox, message = connection.subscribe_inbox()
            with self.atomic("nats.echo"), contextlib.ExitStack() as at_end:
                at_end.callback(message.cancel)
                connection.publish(inbox, b"x" * size)
                got = await message
        self.check(len(got) == size, f"{size} bytes were sent, {len(got)} came back")


class NatsRequest(_Nats):
    """Nats.request: asks a service that listens on a subject."""

    async def run(self, host: Hosts, subject: str, port: int = 4222, payload: str = "", within: float = 10.0) -> None:
        """Send a request and wait for its answer."""
        async with asyncio.timeout(within):
            connection = await self.connected(host, port)
            with self.atomic("nats.request"):
                await connection.request(subject, payload.encode())
