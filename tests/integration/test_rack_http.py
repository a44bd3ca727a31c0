"""What a rack says to its region by HTTP, to servers that behave well and badly."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest

from rackwright.rack.http import HttpClient, Response
from rackwright.sim.tls import self_signed

WELL = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nDate: now\r\n\r\nok"
CHUNKED = b"HTTP/1.1 409 Conflict\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n1\r\n!\r\n0\r\n\r\n"
LAST = b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok"
INTERIM = b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + WELL
EMPTY = b"HTTP/1.1 204 No Content\r\n\r\n"


class Server:
    """Gives these answers in turn; None hangs up, and an answer that is cut off does so too."""

    def __init__(self, answers: Sequence[bytes | None]) -> None:
        self.connections = 0
        self.requests: list[bytes] = []
        self.going: set[asyncio.Task[None]] = set()
        self._answers = list(answers)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        task = asyncio.current_task()
        assert task is not None
        self.going.add(task)
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                length = head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0]
                self.requests.append(head + await reader.readexactly(int(length or b"0")))
                answer = self._answers.pop(0)
                for at in range(0, len(answer or b""), 7):
                    writer.write((answer or b"")[at : at + 7])
                    await writer.drain()
                if answer is None or answer == WELL[:-1]:
                    break
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


@asynccontextmanager
async def speaking(*answers: bytes | None) -> AsyncIterator[tuple[Server, HttpClient]]:
    """Such a server, and who speaks to it."""
    server = Server(answers)
    listening = await asyncio.start_server(server.serve, "127.0.0.1", 0)
    port = listening.sockets[0].getsockname()[1]
    client = HttpClient(f"http://127.0.0.1:{port}/below/", {"X-Own": "yes"}, httpx.create_ssl_context)
    yield server, client
    client.close()
    listening.close()
    if server.going:
        await asyncio.wait(server.going)


async def ask(client: HttpClient, body: bytes | None = None) -> Response:
    return await client.request("POST", "/here?a=1", body, patience=2.0)


async def test_a_request_has_its_path_headers_and_body_and_the_connection_is_kept() -> None:
    async with speaking(WELL, CHUNKED, EMPTY) as (server, client):
        first = await ask(client, b"{}")
        assert (first.status_code, first.headers["date"], first.content) == (200, "now", b"ok")
        assert (await ask(client)).text == "ok!"
        assert await ask(client) == Response(204, {}, b"")
        assert server.connections == 1
    assert server.requests[0].startswith(b"POST /below/here?a=1 HTTP/1.1\r\nHost: 127.0.0.1:")
    assert b"\r\nX-Own: yes\r\nContent-Length: 2\r\n\r\n{}" in server.requests[0]


async def test_an_interim_answer_is_passed_over() -> None:
    async with speaking(INTERIM) as (_, client):
        assert await ask(client) == Response(200, {"content-length": "2", "date": "now"}, b"ok")


async def test_a_server_that_wants_to_close_is_asked_on_another_connection() -> None:
    async with speaking(LAST, WELL) as (server, client):
        assert [(await ask(client)).content for _ in range(2)] == [b"ok", b"ok"]
        assert server.connections == 2


async def test_a_connection_that_was_closed_between_two_requests_is_not_used() -> None:
    async with speaking(WELL[:-1] + b"k", WELL) as (server, client):
        await ask(client)
        for connection in list(client._all):
            connection.end()
        await asyncio.sleep(0.01)
        await ask(client)
        assert server.connections == 2


@pytest.mark.parametrize("answer", [None, WELL[:-1], b"no HTTP at all\r\n\r\n"], ids=["nothing", "cut off", "no HTTP"])
async def test_what_is_no_answer_is_an_error_and_the_next_request_goes_through(answer: bytes | None) -> None:
    async with speaking(answer, WELL) as (_, client):
        with pytest.raises(ConnectionError, match=r"closed before|no HTTP|reset"):
            await ask(client)
        assert (await ask(client)).content == b"ok"


async def test_who_waits_too_long_leaves_no_connection_with_an_answer_to_come() -> None:
    async with speaking(b"", WELL) as (server, client):
        with pytest.raises(TimeoutError):
            await client.request("GET", "/", patience=0.05)
        assert (await ask(client)).content == b"ok"
        assert server.connections == 2


async def test_requests_at_the_same_time_do_not_meet() -> None:
    async with speaking(*[WELL] * 8) as (server, client):
        answers = await asyncio.gather(*(ask(client) for _ in range(8)))
        assert [answer.content for answer in answers] == [b"ok"] * 8
        assert server.connections == 8


async def test_nobody_there_and_no_url_are_errors() -> None:
    for url, why in (("http://127.0.0.1:9", "refused|onnect"), ("nothing", "no URL")):
        with pytest.raises(OSError, match=why):
            await HttpClient(url, {}, httpx.create_ssl_context).request("GET", "/", patience=2.0)


async def test_https_is_spoken_to_servers_that_are_trusted_and_to_no_others(tmp_path: Path) -> None:
    certificate, key = self_signed(tmp_path, ["127.0.0.1"])
    own = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    own.load_cert_chain(certificate, key)
    server = Server([WELL])
    listening = await asyncio.start_server(server.serve, "127.0.0.1", 0, ssl=own)
    url = f"https://127.0.0.1:{listening.sockets[0].getsockname()[1]}"
    trusting = HttpClient(url, {}, lambda: ssl.create_default_context(cafile=str(certificate)))
    assert (await ask(trusting)).content == b"ok"
    with pytest.raises(ssl.SSLCertVerificationError):
        await ask(HttpClient(url, {}, ssl.create_default_context))
    trusting.close()
    listening.close()
    await asyncio.wait(server.going)
