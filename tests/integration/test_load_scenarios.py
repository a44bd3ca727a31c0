"""The scenarios that come with the product, against real targets."""

from __future__ import annotations

import asyncio
import shutil
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from rackwright.core.errors import InvalidInput
from rackwright.core.load.result import WHOLE, Part, Second
from rackwright.core.load.schedule import Closed
from rackwright.load.contexts import Surrounding
from rackwright.load.generator import Generator
from rackwright.load.http import Http
from rackwright.load.nats_key import NatsKey, signed_in
from rackwright.load.scenario import Scenario, Surroundings, clock
from rackwright.load.scenarios.http_requests import CheckRandomRequest, CheckRequest
from rackwright.load.scenarios.nats import NatsEcho, NatsPublish, NatsRequest
from rackwright.load.scenarios.process import ProcessRun
from rackwright.load.scenarios.tcp import TcpConnect, TcpExchange
from rackwright.load.words import Report, Told, Work


async def load(
    scenario: type[Scenario], context: dict[str, Any] | None = None, **args: Any
) -> tuple[dict[str, Part], dict[str, str]]:
    """Parts by action, and messages by kind of error, of ten iterations."""
    told: list[Told] = []
    http = Http()
    work = Work(scenario="", args=args, schedule=Closed(times=10, concurrency=3, timeout=20.0))
    async with asyncio.timeout(60):
        await Generator(work, scenario, Surroundings(http, context), told.append, clock()).run()
    await http.close()
    whole = Second(at=0)
    errors: dict[str, str] = {}
    for word in told:
        if isinstance(word, Report):
            for second in word.seconds:
                whole.merge(second)
            errors |= {sample.kind: sample.message for sample in word.samples}
    return whole.parts, errors


@pytest.fixture
async def echo() -> AsyncIterator[int]:
    """A port on which whatever comes is sent back, as HTTP if it was HTTP."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65_536):
            status = b"404 Not Found" if b"/none" in data else b"200 OK"
            http = b"HTTP/1.1 " + status + b"\r\ncontent-length: 2\r\n\r\nok"
            writer.write(http if b"HTTP/1.1" in data else data)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    yield server.sockets[0].getsockname()[1]
    server.close()


async def test_requests_are_sent_and_their_status_is_looked_at(echo: int) -> None:
    url = f"http://127.0.0.1:{echo}"
    parts, errors = await load(CheckRequest, url=url, method="GET", status_code=200)
    assert (parts["http_requests.check_get_request"].total, errors) == (10, {})
    parts, errors = await load(CheckRequest, url=f"{url}/none", method="GET", status_code=200)
    assert parts[WHOLE].errors == 10
    assert errors == {"CheckFailed": "expected HTTP request code is `200` actual `404`"}


async def test_options_that_the_lean_client_does_not_know_bring_in_the_full_one(echo: int) -> None:
    url = f"http://127.0.0.1:{echo}"
    parts, errors = await load(CheckRequest, url=url, method="GET", status_code=200, cookies={"a": "1"}, timeout=5)
    assert (parts[WHOLE].total, errors) == (10, {})


async def test_a_random_request_may_have_a_status_of_its_own(echo: int) -> None:
    url = f"http://127.0.0.1:{echo}"
    requests = [{"url": url, "method": "GET"}, {"url": f"{url}/none", "method": "GET", "status_code": 404}]
    _, errors = await load(CheckRandomRequest, requests=requests, status_code=200)
    assert errors == {}


async def test_tcp_connects_and_exchanges(echo: int) -> None:
    parts, errors = await load(TcpConnect, host="127.0.0.1", port=echo)
    assert (parts["tcp.connect"].total, errors) == (10, {})
    parts, errors = await load(TcpExchange, host="127.0.0.1", port=echo, send="abc", expect="bc")
    assert (parts["tcp.exchange"].total, errors) == (10, {})


async def test_a_process_must_end_as_it_should() -> None:
    _, errors = await load(ProcessRun, command=[sys.executable, "-S", "-c", "pass"])
    assert errors == {}
    _, errors = await load(ProcessRun, command=["/bin/sh", "-c", "echo bad >&2; exit 3"])
    assert errors == {"CheckFailed": "/bin/sh ended with 3: bad"}


SECRET = "SUAAAAICAMCAKBQHBAEQUCYMBUHA6EARCIJRIFIWC4MBSGQ3DQOR4H776Y"
"""Of a NATS user who exists nowhere."""


@asynccontextmanager
async def server(*words: str, ports: Path) -> AsyncIterator[int]:
    """A NATS server; gives its port."""
    program = shutil.which("nats-server", path=str(Path(sys.executable).parent)) or shutil.which("nats-server")
    assert program, "nats-server is a dependency of the product"
    ports.mkdir()
    process = await asyncio.create_subprocess_exec(
        program, "-a", "127.0.0.1", "-p", "-1", "--ports_file_dir", str(ports), *words,
        stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    try:
        async with asyncio.timeout(60):
            while not (found := [file for file in ports.iterdir() if file.stat().st_size]):
                await asyncio.sleep(0.05)
        yield int(found[0].read_text().partition("nats://127.0.0.1:")[2].partition('"')[0])
    finally:
        process.terminate()
        await process.wait()


@pytest.fixture
async def nats(tmp_path: Path) -> AsyncIterator[int]:
    """The port of a NATS server."""
    async with server(ports=tmp_path / "ports") as port:
        yield port


async def test_messages_go_through_nats_and_back(nats: int) -> None:
    parts, errors = await load(NatsPublish, host="127.0.0.1", port=nats, subject="a")
    assert (parts["nats.publish"].total, errors) == (10, {})
    parts, errors = await load(NatsEcho, host="127.0.0.1", port=nats, size=100)
    assert (parts["nats.echo"].total, errors) == (10, {})


async def test_a_request_that_nobody_answers_fails_in_its_time(nats: int) -> None:
    parts, errors = await load(NatsRequest, host="127.0.0.1", port=nats, subject="nobody", within=0.3)
    assert parts[WHOLE].errors == 10
    assert set(errors) == {"TimeoutError"}


@pytest.fixture
async def guarded(tmp_path: Path) -> AsyncIterator[tuple[int, Path]]:
    """The port of a NATS server that lets in one user, and the file of that one's secret key."""
    key = tmp_path / "user.nk"
    key.write_text(SECRET)
    (tmp_path / "guard.conf").write_text(f"authorization {{ users: [ {{ nkey: {signed_in(SECRET, b'')['nkey']} }} ] }}")
    async with server("-c", str(tmp_path / "guard.conf"), ports=tmp_path / "ports") as port:
        yield port, key


async def test_a_server_that_asks_for_a_key_lets_in_only_who_has_it(guarded: tuple[int, Path]) -> None:
    port, key = guarded
    places = [f"127.0.0.1:{port}"]
    _, errors = await load(NatsEcho, host=places)
    assert set(errors) == {"NatsFailed"}
    async with Surrounding([(NatsKey, {"file": str(key)})], {}) as shared:
        parts, errors = await load(NatsEcho, context=shared, host=places)
    assert (parts["nats.echo"].total, errors) == (10, {})


async def test_a_file_that_holds_no_key_is_refused_without_a_word_of_it(tmp_path: Path) -> None:
    (tmp_path / "bad").write_text(SECRET[:-1] + "A")
    with pytest.raises(InvalidInput, match="no key of a NATS user: it is damaged") as caught:
        async with Surrounding([(NatsKey, {"file": str(tmp_path / "bad")})], {}):
            pass
    assert SECRET[4:20] not in str(caught.value)
