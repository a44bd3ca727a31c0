"""The whole API over the memory store, in one process and without a socket: for tests of api and command line."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

import httpx
import pytest
import structlog
from click.testing import CliRunner, Result

from rackwright.api import tokens
from rackwright.api.app import build
from rackwright.api.news import News
from rackwright.api.services import Services
from rackwright.cli.main import cli
from rackwright.core.messages import ClaimRequest, Results
from rackwright.core.messages import Result as Ended
from rackwright.engine import claims, intake, planning
from rackwright.engine.library import CatalogLibrary
from rackwright.engine.presence import Presence, Pulse, this_process
from rackwright.engine.sealing import Seal
from rackwright.engine.telemetry import Telemetry
from rackwright.store.memory import MemoryStore

T = TypeVar("T")
SERVER = "http://rackwright.test"
TINY = {
    "catalog.yaml": "name: tiny\nstrict: true\n",
    "roles.yaml": """
- name: web
  description: A web server.
  attributes: {type: object, properties: {port: {type: integer, default: 80, description: Where it listens.}}}
""",
    "tasks.yaml": """
- {id: install, type: noop, roles: [web], reads: {port: desired.web.port}, writes: [web.conf]}
- {id: start, type: noop, roles: [web], requires: [install], reads: {conf: web.conf}}
""",
}


class World:
    """A loop in a thread of its own with store and api in it; whoever asks waits for the answer."""

    def __init__(self) -> None:
        structlog.configure(logger_factory=structlog.ReturnLoggerFactory())
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self.store = MemoryStore()
        self.library = CatalogLibrary()
        self.news = News(self.store)
        self.presence = Presence(self.store.roster, Pulse(this_process("api", "api 1"), Telemetry()))
        self.services = Services(
            store=self.store,
            views=self.store.views,
            catalogs=self.library,
            news=self.news,
            presence=self.presence,
            lease=30.0,
            webhook_key=b"k" * 32,
            seal=Seal(b"s" * 32),
        )
        self.app = build(self.services)
        self._inner = httpx.ASGITransport(self.app, raise_app_exceptions=False)
        asyncio.run_coroutine_threadsafe(self.news.run(), self._loop)
        self.admin, self.reader = tokens.new_token(), tokens.new_token()
        self.run(self.store.views.add_token("boss", tokens.digest(self.admin), "admin"))
        self.run(self.store.views.add_token("eye", tokens.digest(self.reader), "read"))
        self.asked: list[tuple[str, str]] = []
        """(method, path) of every request, in order."""

    def close(self) -> None:
        """End the loop."""
        self.run(self._end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
        structlog.reset_defaults()

    async def _end(self) -> None:
        left = asyncio.all_tasks() - {asyncio.current_task()}
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run something in the loop and give what it gives."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(timeout=60)

    def start(self, work: Coroutine[Any, Any, T]) -> Coroutine[Any, Any, T]:
        """Begin something in the loop; ``run`` of what this gives waits for its end."""
        future = asyncio.run_coroutine_threadsafe(work, self._loop)

        async def wait() -> T:
            return await asyncio.wrap_future(future)

        return wait()

    def call(self, function: Any, *arguments: Any) -> None:
        """Call a plain function in the loop."""

        async def work() -> None:
            function(*arguments)

        self.run(work())

    def conduct(self) -> None:
        """Compute every plan that waits for it."""
        while self.run(planning.compute_next(self.store, self.library)):
            pass

    def answer(self, request: httpx.Request) -> httpx.Response:
        """The api's answer; a plan that is asked for is computed first."""
        self.asked.append((request.method, request.url.path))
        if request.method == "GET" and "/plans/" in request.url.path:
            self.conduct()
        return self.run(self._answer(request))

    async def _answer(self, request: httpx.Request) -> httpx.Response:
        copy = httpx.Request(request.method, request.url, headers=request.headers, content=request.read())
        response = await self._inner.handle_async_request(copy)
        body = await response.aread()
        return httpx.Response(response.status_code, headers=response.headers, content=body)

    def ask(
        self, method: str, path: str, body: Any = None, *, token: str | None = None, **headers: str
    ) -> httpx.Response:
        """Ask with the admin's token, or another; '' asks without."""
        token = self.admin if token is None else token
        said = {"Authorization": f"Bearer {token}"} if token else {}
        said |= {name.replace("_", "-"): value for name, value in headers.items()}
        url = f"{SERVER}{path}"
        content = {} if body is None else {"content": body} if isinstance(body, bytes) else {"json": body}
        return self.answer(httpx.Request(method, url, headers=said, **content))

    def begin(self, path: str, **headers: str) -> Coroutine[Any, Any, httpx.Response]:
        """Begin to GET with the admin's token; ``run`` of what this gives waits for the answer's end."""
        said = {"Authorization": f"Bearer {self.admin}"}
        said |= {name.replace("_", "-"): value for name, value in headers.items()}
        return self.start(self._answer(httpx.Request("GET", f"{SERVER}{path}", headers=said)))

    def until(self, true: Callable[[], bool]) -> None:
        """Let the loop go on until something is true."""
        for _ in range(6000):
            if true():
                return
            self.run(asyncio.sleep(0.01))
        pytest.fail("it never came true")

    def rackwright(self, *arguments: str, token: str | None = None, input: str | None = None) -> Result:
        """Run a command line against this api."""
        environment = {"RACKWRIGHT_SERVER": SERVER, "RACKWRIGHT_TOKEN": self.admin if token is None else token}
        environment |= {"RACKWRIGHT_DATA": "/nonexistent", "NO_COLOR": "1"}
        transport = httpx.MockTransport(self.answer)
        return CliRunner().invoke(cli, list(arguments), obj=transport, env=environment, input=input)

    def site(self) -> str:
        """A rack r1 with nodes n1 and n2, and a deployment d of the catalog tiny; gives the rack's token."""
        token = self.ask("POST", "/api/v1/racks", {"name": "r1"}).json()["token"]
        nodes = [{"name": f"n{n}", "rack": "r1", "address": f"127.1.0.{n}"} for n in (1, 2)]
        assert self.ask("POST", "/api/v1/nodes", nodes).status_code == 200
        assert self.ask("POST", "/api/v1/catalogs", {"name": "tiny", "files": TINY}).status_code == 201
        assert self.ask("POST", "/api/v1/deployments", {"name": "d", "catalog": "tiny"}).status_code == 201
        return str(token)

    def apply(self, **changes: Any) -> None:
        """Apply changes to d."""
        self.run(planning.request_plan(self.store, "d", changes, apply=True, by="test"))
        self.conduct()

    def work(self, *broken: str) -> list[tuple[str, str]]:
        """Carry out all there is for r1; the tasks named fail. Gives (scope, task) in order."""
        ran: list[tuple[str, str]] = []
        while items := self.run(self._claim()):
            ran += [(item.scope, item.task) for item in items]
            ended = [self._ended(item, item.task in broken) for item in items]
            self.run(intake.take_results(self.store, self.library, self._rack, Results("me", ended), 1e9))
        return ran

    @property
    def _rack(self) -> int:
        known = self.run(self.store.views.rack_secret("r1"))
        assert known is not None
        return known[0]

    def _claim(self) -> Coroutine[Any, Any, list[Any]]:
        request = ClaimRequest(incarnation="me", capacity=10)
        return claims.claim(self.store, self.library, self._rack, request, 1e9, 30.0)

    def _ended(self, item: Any, broken: bool) -> Ended:
        facts = {} if broken else {path: "said" for path in item.writes}
        return Ended(
            id=item.id,
            attempt=item.attempt,
            revision=item.revision,
            outcome="failed" if broken else "ok",
            reason="it broke" if broken else "",
            facts=facts,
        )
