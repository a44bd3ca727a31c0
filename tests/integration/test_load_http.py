"""The lean HTTP client against servers that behave, and servers that do not."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from rackwright.core.errors import InvalidInput
from rackwright.load.http import Http
from rackwright.load.http_connection import HttpFailed
from rackwright.sim.tls import self_signed

Serve = Callable[[bytes, asyncio.StreamWriter], Awaitable[bool]]


class Server:
    """Reads requests and lets ``serve`` answer each; it says whether the connection stays."""

    def __init__(self, serve: Serve) -> None:
        self.serve = serve
        self.connections = 0
        self.open = 0
        self.most = 0
        self.requests: list[bytes] = []
        self.url = ""

    async def take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.open += 1
        self.most = max(self.most, self.open)
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                for line in head.split(b"\r\n"):
                    if line.lower().startswith(b"content-length:"):
                        head += await reader.readexactly(int(line.partition(b":")[2]))
                self.requests.append(head)
                if not await self.serve(head, writer):
                    return
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            self.open -= 1
            writer.close()


@asynccontextmanager
async def serving(serve: Serve, tls: ssl.SSLContext | None = None) -> AsyncIterator[Server]:
    server = Server(serve)
    listening = await asyncio.start_server(server.take, "127.0.0.1", 0, ssl=tls)
    server.url = f"http{'s' if tls else ''}://127.0.0.1:{listening.sockets[0].getsockname()[1]}"
    try:
        yield server
    finally:
        listening.close()


@asynccontextmanager
async def client(http: Http) -> AsyncIterator[Http]:
    try:
        yield http
    finally:
        await http.close()


def says(answer: bytes, *, stays: bool = True) -> Serve:
    async def serve(_: bytes, writer: asyncio.StreamWriter) -> bool:
        writer.write(answer)
        await writer.drain()
        return stays

    return serve


OK = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\nx-a: 1\r\n\r\nhello"


async def test_one_connection_serves_many_requests() -> None:
    async with serving(says(OK)) as server, client(Http()) as http:
        for _ in range(10):
            answer = await http.get(server.url + "/a?b=1")
            assert (answer.status, answer.text, answer.header("X-A")) == (200, "hello", "1")
        assert server.connections == 1
        assert server.requests[0].startswith(b"GET /a?b=1 HTTP/1.1\r\nhost: 127.0.0.1:")


async def test_a_body_is_sent_whole_with_its_length() -> None:
    async with serving(says(OK)) as server, client(Http()) as http:
        await http.post(server.url, json={"a": 1}, headers={"x-b": "2"})
        request = server.requests[0]
        assert request.endswith(b'\r\n\r\n{"a":1}')
        assert b"content-length: 7\r\n" in request
        assert b"content-type: application/json\r\n" in request
        assert b"x-b: 2\r\n" in request


async def test_a_header_cannot_smuggle_another_one_in() -> None:
    async with serving(says(OK)) as server, client(Http()) as http:
        with pytest.raises(HttpFailed, match="line break"):
            await http.get(server.url, headers={"x-a": "1\r\nx-b: 2"})


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\n" + OK,
        b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n" + OK,
    ],
)
async def test_chunked_and_interim_answers_are_read(answer: bytes) -> None:
    async with serving(says(answer)) as server, client(Http()) as http:
        for _ in range(2):
            assert (await http.get(server.url)).text == "hello"
        assert server.connections == 1


async def test_an_answer_without_a_length_ends_with_its_connection() -> None:
    async with serving(says(b"HTTP/1.1 200 OK\r\n\r\nhello", stays=False)) as server, client(Http()) as http:
        assert (await http.get(server.url)).text == "hello"


async def test_a_head_request_waits_for_no_body() -> None:
    async with serving(says(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n")) as server, client(Http()) as http:
        assert (await http.request("HEAD", server.url)).status == 200
        assert (await http.request("HEAD", server.url)).status == 200


async def test_a_kept_connection_that_was_closed_meanwhile_is_replaced() -> None:
    async with serving(says(OK, stays=False)) as server, client(Http()) as http:
        for _ in range(3):
            assert (await http.get(server.url)).status == 200
        assert server.connections == 3


async def test_redirects_are_followed_when_asked_and_not_for_ever() -> None:
    async def serve(request: bytes, writer: asyncio.StreamWriter) -> bool:
        moved = b"HTTP/1.1 302 Found\r\nlocation: %s\r\ncontent-length: 0\r\n\r\n"
        if request.startswith(b"POST /from"):
            writer.write(moved % b"/to")
        else:
            writer.write(moved % b"/loop" if b" /loop" in request else OK)
        return True

    async with serving(serve) as server, client(Http()) as http:
        assert (await http.request("POST", server.url + "/from", data="x", follow=True)).text == "hello"
        assert server.requests[-1].startswith(b"GET /to")
        assert (await http.request("POST", server.url + "/from")).status == 302
        with pytest.raises(HttpFailed, match="more than 10 redirects"):
            await http.request("GET", server.url + "/loop", follow=True)


async def test_no_more_connections_are_opened_than_are_allowed() -> None:
    async def serve(_: bytes, writer: asyncio.StreamWriter) -> bool:
        await asyncio.sleep(0.01)
        writer.write(OK)
        return True

    async with serving(serve) as server, client(Http(connections=3)) as http:
        answers = await asyncio.gather(*(http.get(server.url) for _ in range(30)))
        assert {answer.status for answer in answers} == {200}
        assert (server.most, server.connections) == (3, 3)


async def test_a_cancelled_request_gives_its_place_to_the_next() -> None:
    never = asyncio.Event()

    async def serve(request: bytes, writer: asyncio.StreamWriter) -> bool:
        if b" /slow" in request:
            await never.wait()
        writer.write(OK)
        return True

    async with serving(serve) as server, client(Http(connections=1)) as http:
        slow = asyncio.create_task(http.get(server.url + "/slow"))
        waiting = [asyncio.create_task(http.get(server.url)) for _ in range(3)]
        while not server.requests:
            await asyncio.sleep(0.01)
        waiting[0].cancel()
        slow.cancel()
        answers = await asyncio.gather(*waiting[1:])
        assert [answer.text for answer in answers] == ["hello", "hello"]
        never.set()


async def test_a_server_that_says_nothing_costs_the_time_that_was_given() -> None:
    async def serve(_: bytes, writer: asyncio.StreamWriter) -> bool:
        await asyncio.sleep(60)
        return False

    async with serving(serve) as server, client(Http(timeout=0.2)) as http:
        with pytest.raises(TimeoutError):
            await http.get(server.url)


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (b"\x00\x01 rubbish\r\n\r\n", "no HTTP"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 50\r\n\r\nshort", "within an answer"),
        (b"", "before an answer"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 5000\r\n\r\n" + b"x" * 5000, "longer than 1000 bytes"),
        (b"HTTP/1.1 200 OK\r\n" + b"x-a: 1\r\n" * 500, "longer than 1000 bytes"),
    ],
)
async def test_an_answer_that_is_none_is_an_error_with_words(answer: bytes, words: str) -> None:
    async with serving(says(answer, stays=False)) as server, client(Http(most_bytes=1000)) as http:
        with pytest.raises(HttpFailed, match=words):
            await http.get(server.url)


async def test_nobody_there_is_an_error_of_the_system() -> None:
    async with serving(says(OK)) as server:
        url = server.url
    async with client(Http(timeout=5)) as http:
        with pytest.raises(OSError, match=r"[Cc]onnect"):
            await http.get(url)


@pytest.mark.parametrize("url", ["nonsense", "ftp://a/", "http://", "http://a:port/", "http://[::1"])
async def test_what_is_no_url_is_told(url: str) -> None:
    async with client(Http()) as http:
        with pytest.raises(InvalidInput, match="no URL"):
            await http.get(url)


async def test_a_target_with_tls_is_trusted_only_with_its_certificate(tmp_path: Path) -> None:
    certificate, key = self_signed(tmp_path, ["127.0.0.1"])
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(certificate, key)
    trusting = ssl.create_default_context(cafile=str(certificate))
    async with serving(says(OK), tls) as server:
        async with client(Http(tls=trusting)) as http:
            assert [(await http.get(server.url)).text for _ in range(3)] == ["hello"] * 3
            assert server.connections == 1
        async with client(Http()) as http:
            with pytest.raises(ssl.SSLCertVerificationError):
                await http.get(server.url)
        async with client(Http(tls=trusting)) as http:
            with pytest.raises(ssl.SSLCertVerificationError, match="mismatch"):
                await http.get(server.url.replace("127.0.0.1", "localhost"))
