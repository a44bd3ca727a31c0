"""A rack's door on loopback, with a region behind it that a test can fill and take away; and a machine's agent."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import msgspec

from rackwright.core.bootenv import Bootenv
from rackwright.core.errors import NotFound, Retryable
from rackwright.core.images import ImageFile, Manifest
from rackwright.core.machine_messages import AgentTask, Ended, Poll, Register, Registered, Said, Work
from rackwright.core.served import Delta, ServedNode, ServedRack
from rackwright.rack.desk import AgentDesk
from rackwright.rack.door.app import build
from rackwright.rack.door.inside import Inside
from rackwright.rack.door.server import bind, opened
from rackwright.rack.images import ImageCache
from rackwright.rack.region import Enlisted, Observation
from rackwright.rack.relay import Relay
from rackwright.rack.replica import Replica

MACS = {1: "52:54:00:00:00:01", 2: "52:54:00:00:00:02"}


class GivenPiece:
    def __init__(self, offset: int, data: bytes, region: FakeRegion) -> None:
        self.offset = offset
        self._data = data
        self._region = region

    async def chunks(self) -> AsyncIterator[bytes]:
        for start in range(0, len(self._data), 65536):
            if self._region.breaks_after is not None and start >= self._region.breaks_after:
                self._region.breaks_after = None
                raise Retryable("the line broke")
            yield self._data[start : start + 65536]
            await asyncio.sleep(self._region.slow)


class FakeRegion:
    """What a rack's machines need of the region."""

    def __init__(self) -> None:
        self.away = False
        self.slow = 0.0
        self.breaks_after: int | None = None
        self.files: dict[str, bytes] = {}
        self.images: dict[str, Manifest] = {}
        self.fetched: list[tuple[str, int]] = []
        self.enlisted: list[Register] = []
        self.observed_items: list[Observation] = []
        self.replica: Replica | None = None

    def image(self, name: str, **parts: bytes) -> Manifest:
        """Make an image of these parts."""
        files = []
        for part, data in parts.items():
            digest = hashlib.sha256(data).hexdigest()
            self.files[digest] = data
            files.append({"name": part, "part": part, "bytes": len(data), "sha256": digest})
        made = Manifest(name=name, version="1", kind="discovery", files=msgspec.convert(files, tuple[ImageFile, ...]))
        self.images[name] = self.images[made.digest] = made
        return made

    def fact(self, node: str, path: str) -> Any:
        """The newest value that was told of a node; None when none was."""
        told = [item.facts[path] for item in self.observed_items if item.node == node and path in item.facts]
        return told[-1] if told else None

    async def manifest(self, name: str) -> Manifest:
        self._here()
        if name not in self.images:
            raise NotFound(f"there is no image {name!r}", where="images", mend="import it")
        return self.images[name]

    @asynccontextmanager
    async def image_file(self, sha256: str, offset: int) -> AsyncIterator[GivenPiece]:
        self._here()
        self.fetched.append((sha256, offset))
        yield GivenPiece(offset, self.files[sha256][offset:], self)

    async def enlist(self, register: Register) -> Enlisted:
        self._here()
        self.enlisted.append(register)
        assert self.replica is not None
        new = ServedNode(id=100, name="new-100", macs=register.macs)
        await self.replica.apply(Delta(after=self.replica.generation, generation=99, nodes=(new,)))
        return Enlisted(id=new.id, name=new.name)

    async def observed(self, items: Sequence[Observation]) -> None:
        self._here()
        self.observed_items.extend(items)

    def _here(self) -> None:
        if self.away:
            raise Retryable("the region is away")


class World:
    """One rack with its door open."""

    def __init__(self, region: FakeRegion, inside: Inside, http: httpx.AsyncClient) -> None:
        self.region = region
        self.inside = inside
        self.http = http
        self.replica, self.desk, self.images = inside.replica, inside.desk, inside.images

    @property
    def url(self) -> str:
        return str(self.http.base_url).rstrip("/")

    def token(self, node: int) -> str:
        """The token of a node."""
        found = self.replica.node(node)
        assert found is not None
        return self.replica.token(found)

    async def serve(self, node: int, **bootenv: Any) -> None:
        """Let a node boot this from now on."""
        said = ServedNode(id=node, name=f"n{node}", macs=(MACS[node],), bootenv=Bootenv(**bootenv))
        before = self.replica.generation
        await self.replica.apply(Delta(after=before, generation=before + 1, nodes=(said,)))
        await self.replica.set_applied(before + 1)

    async def told(self, node: str, path: str) -> Any:
        """Wait until the region heard of this fact."""
        async with asyncio.timeout(60):
            while self.region.fact(node, path) is None:
                await asyncio.sleep(0.02)
        return self.region.fact(node, path)


@asynccontextmanager
async def world(folder: Path, region: FakeRegion | None = None) -> AsyncIterator[World]:
    """A rack r1 with two machines; what it keeps is in ``folder``, and is there again for the next."""
    region = region or FakeRegion()
    replica = region.replica = Replica(str(folder / "replica"))
    if replica.generation < 0:
        nodes = tuple(ServedNode(id=id, name=f"n{id}", macs=(mac,)) for id, mac in MACS.items())
        await replica.apply(Delta(after=-1, generation=1, full=True, rack=ServedRack(name="r1"), nodes=nodes))
        await replica.set_applied(1)
    images = ImageCache(str(folder / "images"), region)
    relay, desk = Relay(region, str(folder / "told")), AgentDesk(str(folder / "agents"))
    inside = Inside(
        replica=replica, images=images, desk=desk, relay=relay, registry=region, archive=lambda: b"PK agent",
        loaders=str(folder / "loaders"),
    )  # fmt: skip
    listening = bind("127.0.0.1", 0)
    relaying = asyncio.create_task(relay.run())
    url = f"http://127.0.0.1:{listening.getsockname()[1]}"
    try:
        async with (
            opened(build(inside), listening),
            httpx.AsyncClient(base_url=url, timeout=30, trust_env=False) as http,
        ):
            yield World(region, inside, http)
            desk.close()
    finally:
        relaying.cancel()
        await asyncio.wait({relaying})
        await images.close()
        relay.close()
        replica.close()


class Agent:
    """Speaks an agent's protocol, as a test tells it to."""

    def __init__(self, world: World, node: int, *, boot_id: str = "boot-1", **said: Any) -> None:
        self.world = world
        self.boot_id = boot_id
        self.said = Register(macs=(MACS.get(node, "52:54:00:00:00:99"),), boot_id=boot_id, **said)
        self.token = ""
        self.running: set[tuple[int, int]] = set()

    async def post(self, verb: str, body: Any) -> httpx.Response:
        headers = {"Authorization": f"Bearer {self.token}"} if self.token else {}
        return await self.world.http.post(f"/agent/{verb}", content=msgspec.json.encode(body), headers=headers)

    async def register(self) -> Registered:
        answer = await self.post("register", self.said)
        assert answer.status_code == 200, answer.text
        registered = msgspec.json.decode(answer.content, type=Registered)
        self.token = registered.token
        return registered

    async def poll(self, wait: float = 5.0) -> Work:
        answer = await self.post("poll", Poll(boot_id=self.boot_id, running=tuple(sorted(self.running)), wait=wait))
        assert answer.status_code == 200, answer.text
        work = msgspec.json.decode(answer.content, type=Work)
        self.running |= {(task.id, task.attempt) for task in work.tasks}
        self.running -= set(work.cancel)
        return work

    async def task(self) -> AgentTask:
        """Poll until there is a task."""
        async with asyncio.timeout(60):
            while not (work := await self.poll()).tasks:
                pass
        return work.tasks[0]

    async def say(self, task: AgentTask, offset: int, data: bytes) -> None:
        answer = await self.post("log", Said(id=task.id, attempt=task.attempt, offset=offset, data=data))
        assert answer.status_code == 200, answer.text

    async def end(self, task: AgentTask, outcome: str = "ok", **said: Any) -> bool:
        body = msgspec.convert({"id": task.id, "attempt": task.attempt, "outcome": outcome, **said}, Ended)
        answer = await self.post("result", body)
        assert answer.status_code == 200, answer.text
        self.running.discard((task.id, task.attempt))
        return bool(answer.json()["taken"])
