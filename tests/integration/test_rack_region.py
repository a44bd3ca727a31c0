from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Route

from rackwright.core.errors import Conflict, InvalidInput, NotAllowed, NotFound, RackwrightError, Retryable
from rackwright.core.images import ImageFile, Manifest
from rackwright.core.machine_messages import Register
from rackwright.rack import relay as relay_module
from rackwright.rack.door.server import bind, opened
from rackwright.rack.images import ImageCache
from rackwright.rack.region import Enlisted, Observation, Observations, Region
from rackwright.rack.relay import Relay

Answer = Callable[[Request], Awaitable[Response]]


@asynccontextmanager
async def region(routes: Mapping[str, Answer]) -> AsyncIterator[Region]:
    """A region over real HTTP that answers these paths."""
    app = Starlette(routes=[Route(path, answer, methods=["GET", "POST"]) for path, answer in routes.items()])
    listening = bind("127.0.0.1", 0)
    url = f"http://127.0.0.1:{listening.getsockname()[1]}"
    async with opened(app, listening), Region(url, "r 1", "secret") as client:
        yield client


def always(status: int, body: object) -> Answer:
    async def answer(request: Request) -> Response:
        return JSONResponse(body, status)

    return answer


async def test_a_stranger_is_enlisted_with_the_racks_token() -> None:
    asked: list[tuple[str, bytes]] = []

    async def enlist(request: Request) -> Response:
        asked.append((request.headers["authorization"], await request.body()))
        return JSONResponse({"id": 7, "name": "n7", "more": 1})

    async with region({"/api/v1/racks/{name}/enlist": enlist}) as client:
        register = Register(macs=("52:54:00:00:00:01",), serial="S1")
        assert await client.enlist(register) == Enlisted(id=7, name="n7")
    assert asked == [("Bearer secret", msgspec.json.encode(register))]


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, InvalidInput),
        (403, NotAllowed),
        (404, NotFound),
        (409, Conflict),
        (413, InvalidInput),
        (429, Retryable),
        (500, Retryable),
        (503, Retryable),
    ],
)
async def test_each_refusal_says_what_where_and_how_to_mend_it(status: int, kind: type[RackwrightError]) -> None:
    problem = {"title": "No", "detail": "two nodes claim this MAC", "where": "macs", "mend": "remove one"}
    async with region({"/api/v1/racks/{name}/enlist": always(status, problem)}) as client:
        with pytest.raises(kind, match="macs; two nodes claim this MAC") as error:
            await client.enlist(Register(macs=("a",)))
    assert error.value.mend == "remove one"


@pytest.mark.parametrize("body", [b"<html>", b"[]", b"\xff"])
async def test_an_answer_that_makes_no_sense_may_pass(body: bytes) -> None:
    async def answer(request: Request) -> Response:
        return Response(body)

    async with region({"/api/v1/racks/{rack}/images/{name}": answer}) as client:
        with pytest.raises(Retryable, match="makes no sense"):
            await client.manifest("discovery")


async def test_a_region_that_is_not_there_may_come_back() -> None:
    async with Region("http://127.0.0.1:1", "r1", "secret") as client:
        with pytest.raises(Retryable, match="cannot be reached"):
            await client.observed([])
        with pytest.raises(Retryable, match="cannot be reached"):
            async with client.image_file("a" * 64, 0):
                pass


async def test_an_image_comes_over_http_and_goes_on_by_range(tmp_path: Path) -> None:
    data, ranges = bytes(range(256)) * 2000, []
    digest = hashlib.sha256(data).hexdigest()
    (tmp_path / "file").write_bytes(data)
    file = ImageFile(name="disk", part="disk", bytes=len(data), sha256=digest)
    image = Manifest(name="debian-12", version="1", kind="disk", files=(file,))

    async def manifest(request: Request) -> Response:
        return Response(msgspec.json.encode(image))

    async def give(request: Request) -> Response:
        ranges.append(request.headers.get("range"))
        return FileResponse(tmp_path / "file")

    routes = {"/api/v1/racks/{rack}/images/files/{sha256}": give, "/api/v1/racks/{rack}/images/{name}": manifest}
    async with region(routes) as client:
        cache = ImageCache(str(tmp_path / "cache"), client)
        assert await cache.manifest("debian-12") == image
        (tmp_path / "cache" / f"{digest}.part").write_bytes(data[:1000])
        assert Path(await cache.file(digest)).read_bytes() == data
        (tmp_path / "cache" / digest).unlink()
        (tmp_path / "cache" / f"{digest}.part").write_bytes(data)
        assert Path(await cache.file(digest)).read_bytes() == data
    assert ranges == ["bytes=1000-", f"bytes={len(data)}-"]


async def test_a_region_that_knows_no_ranges_gives_the_file_anew(tmp_path: Path) -> None:
    data = b"0123456789" * 1000
    digest = hashlib.sha256(data).hexdigest()

    async def give(request: Request) -> Response:
        return Response(data)

    async with region({"/api/v1/racks/{rack}/images/files/{sha256}": give}) as client:
        cache = ImageCache(str(tmp_path), client)
        (tmp_path / f"{digest}.part").write_bytes(data[:1000])
        assert Path(await cache.file(digest)).read_bytes() == data


class Listener:
    """Hears observations, refuses those of the nodes in ``refused``, and may be away."""

    def __init__(self) -> None:
        self.heard: list[Observation] = []
        self.batches = 0
        self.refused: set[str] = set()
        self.fault: RackwrightError | None = None

    async def observed(self, items: Sequence[Observation]) -> None:
        if self.fault is not None:
            raise self.fault
        if self.refused & {item.node for item in items}:
            raise InvalidInput("no such fact")
        self.batches += 1
        self.heard += msgspec.json.decode(msgspec.json.encode(Observations(list(items))), type=Observations).items

    async def until(self, count: int) -> None:
        async with asyncio.timeout(60):
            while len(self.heard) < count:
                await asyncio.sleep(0.02)

    async def told(self, count: int) -> list[Observation]:
        """So many that tell of facts; the others only say that a machine lives."""
        async with asyncio.timeout(60):
            while len(found := [item for item in self.heard if item.facts]) < count:
                await asyncio.sleep(0.02)
        return found


@asynccontextmanager
async def relaying(listener: Listener, folder: Path) -> AsyncIterator[Relay]:
    relay = Relay(listener, str(folder))
    running = asyncio.create_task(relay.run())
    try:
        yield relay
    finally:
        running.cancel()
        await asyncio.wait({running})
        relay.close()


async def test_reports_of_one_node_go_together_and_the_newest_fact_wins(tmp_path: Path) -> None:
    listener = Listener()
    relay = Relay(listener, str(tmp_path))
    await relay.report("n1", {"a": 1, "b": 1}, alive=True)
    await relay.report("n1", {"a": 2})
    relay.mention("n1", {"observed.power": "on"})
    relay.close()
    async with relaying(listener, tmp_path):
        await listener.until(1)
    assert listener.heard == [Observation(node="n1", facts={"a": 2, "b": 1}, alive=True)]


async def test_a_thousand_machines_that_come_at_once_are_few_requests(tmp_path: Path) -> None:
    listener = Listener()
    async with relaying(listener, tmp_path) as relay:
        await asyncio.gather(*(relay.report(f"n{number}", {"observed.serial": str(number)}) for number in range(1000)))
        told = [item.facts["observed.serial"] for item in await listener.told(1000)]
    assert sorted(told, key=int) == [str(number) for number in range(1000)]
    assert listener.batches <= 40


async def test_a_report_that_is_refused_does_not_take_the_others_with_it(tmp_path: Path) -> None:
    listener = Listener()
    listener.refused = {"n2"}
    async with relaying(listener, tmp_path) as relay:
        await asyncio.gather(*(relay.report(f"n{number}", {"a": number}) for number in range(5)))
        told = await listener.told(4)
    assert sorted(item.node for item in told) == ["n0", "n1", "n3", "n4"]


@pytest.mark.parametrize("fault", [Retryable("away"), NotAllowed("the token was changed")])
async def test_what_waits_goes_once_the_region_takes_it_again(
    tmp_path: Path, fault: RackwrightError, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(relay_module, "rhythm", 0.05)
    listener = Listener()
    listener.fault = fault
    async with relaying(listener, tmp_path) as relay:
        await relay.report("n1", {"a": 1})
        await asyncio.sleep(0.3)
        assert listener.heard == []
        listener.fault = None
        await listener.until(1)
