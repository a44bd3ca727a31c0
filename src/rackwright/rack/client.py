"""The rack's side of the api: four requests, and patience."""

from __future__ import annotations

import asyncio
import functools
import random
import ssl
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from email.utils import parsedate_to_datetime
from typing import TypeVar
from urllib.parse import quote

import httpx
import msgspec
import structlog
from msgspec import structs

from rackwright.core.errors import Conflict, InvalidInput, NotAllowed, Retryable
from rackwright.core.leases import Lease, LeaseReport, Leases
from rackwright.core.messages import (
    ClaimRequest,
    Claims,
    Heartbeat,
    HeartbeatAnswer,
    LogChunks,
    Results,
    Verdicts,
)
from rackwright.core.power import NodePower, NodePowers
from rackwright.core.served import Applied, Delta
from rackwright.core.texts import Texts
from rackwright.rack.http import HttpClient, Response

first_pause = 0.2
"""Seconds before the second try; each further pause is up to twice as long."""

longest_pause = 15.0
"""Seconds."""

one_request = 30.0
"""Seconds for the answer to a request, on top of what a long poll waits."""

in_the_queue = 90.0
"""Seconds more for the answer to results and requests for work. They come one after the other in the region: with very
much under way they wait for long, and whoever gives up only asks for the same once more. That the region is gone shows
at the heartbeats, and at a connection that dies."""

refusals = frozenset({400, 413, 422})
"""HTTP statuses that say: these very results or logs will never be taken. A question is simply asked again."""

_Answer = TypeVar("_Answer", bound=msgspec.Struct)

log = structlog.get_logger()


class RackClient:
    """Speaks for the rack ``name`` to the api at ``url`` (scheme, host, port). Use as an async context.

    Each request is one try. It raises ``NotAllowed`` when the token is refused, ``InvalidInput`` when the api will
    never take the request, and ``Retryable`` for everything that may pass: no connection, an overloaded or broken api,
    an answer that makes no sense.
    """

    def __init__(self, url: str, name: str, token: str) -> None:
        self.url = url
        self.name = name
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        self._http = HttpClient(url, headers, trust)
        self._base = f"/api/v1/racks/{quote(name, safe='')}"
        self._date, self._heard = "", 0.0
        self._texts = shared_texts()

    @property
    def ahead(self) -> float:
        """Seconds by which this machine's clock is ahead of the api's, as its last answer told; 0: nobody knows. It may
        be off by a second, and by the time that the answer took."""
        try:
            return self._heard - parsedate_to_datetime(self._date).timestamp()
        except ValueError:
            return 0.0

    async def __aenter__(self) -> RackClient:
        """Nothing is opened before the first request."""
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close all connections."""
        self._http.close()

    async def claims(self, request: ClaimRequest) -> Claims:
        """Ask for node tasks; answers when there are some, or after ``request.wait`` seconds. Raises ``Conflict`` while
        another process works for the rack."""
        known = self._texts.known()
        asked = structs.replace(request, knows=tuple(known))
        return self._opened(await self._post("claims", asked, Claims, request.wait + in_the_queue), known)

    async def results(self, results: Results) -> Verdicts:
        """Give results; answers what became of each."""
        if results.next is None:
            return await self._post("results", results, Verdicts, in_the_queue)
        known = self._texts.known()
        asked = structs.replace(results, next=structs.replace(results.next, knows=tuple(known)))
        verdicts = await self._post("results", asked, Verdicts, in_the_queue)
        if verdicts.next is None:
            return verdicts
        return structs.replace(verdicts, next=self._opened(verdicts.next, known))

    async def heartbeat(self, heartbeat: Heartbeat) -> HeartbeatAnswer:
        """Keep the lease; answers what is to be cancelled."""
        return await self._post("heartbeat", heartbeat, HeartbeatAnswer)

    async def logs(self, chunks: LogChunks) -> None:
        """Give pieces of logs."""
        await self._post("logs", chunks, msgspec.Struct)

    async def power(self, nodes: Sequence[str]) -> list[NodePower]:
        """Ask how these nodes are switched; those that nobody can switch are left out."""
        return (await self._post("power", _Nodes(list(nodes)), NodePowers)).items

    async def served(self, after: int, wait: float) -> Delta:
        """Ask for what a replica at this generation lacks; answers when there is something, or after ``wait`` s."""
        return await self._ask("GET", f"served?after={after}&wait={wait}", None, Delta, wait)

    async def applied(self, applied: Applied) -> None:
        """Say up to which generation everything is answered. Raises ``Conflict`` when the api never gave that one."""
        await self._post("applied", applied, msgspec.Struct)

    async def leases(self, seat: str) -> tuple[Lease, ...]:
        """Ask for the dynamic addresses that other seats of the rack have given and that are given still."""
        return (await self._ask("GET", f"leases?seat={quote(seat, safe='')}", None, Leases, 0.0)).items

    async def note_leases(self, report: LeaseReport) -> None:
        """Tell of dynamic addresses that were given. Raises ``Conflict`` while another seat works for the rack."""
        await self._post("leases", report, msgspec.Struct)

    def _opened(self, claims: Claims, known: Mapping[str, str]) -> Claims:
        try:
            return self._texts.opened(claims, known)
        except KeyError as error:
            raise Retryable(f"the answer lacks a text that it names: {error}", where=self._base) from error

    async def _post(self, verb: str, body: msgspec.Struct, answer: type[_Answer], extra: float = 0.0) -> _Answer:
        return await self._ask("POST", verb, body, answer, extra)

    async def _ask(
        self, method: str, path: str, body: msgspec.Struct | None, answer: type[_Answer], extra: float
    ) -> _Answer:
        target = f"{self._base}/{path}"
        url = f"{self.url.rstrip('/')}{target}"
        content = None if body is None else msgspec.json.encode(body)
        try:
            response = await self._http.request(method, target, content, patience=one_request + extra)
        except (OSError, ValueError) as error:
            reason = str(error) or type(error).__name__
            raise Retryable(f"the api cannot be reached: {reason}", where=url, mend="is it running?") from error
        self._date, self._heard = response.headers.get("date", ""), time.time()
        self._check(response, url)
        try:
            return msgspec.json.decode(response.content, type=answer)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise Retryable(f"the answer makes no sense: {error}", where=url, mend="is this the api's URL?") from error

    def _check(self, response: Response, url: str) -> None:
        status = response.status_code
        if status < 300:
            return
        said = f"HTTP {status}: {_detail(response)}"
        if status in (401, 403):
            what = f"token of rack {self.name} refused by {self.url}; {said}"
            raise NotAllowed(what, mend=f"get a new one with `rackwright rack add {self.name}`")
        if status in refusals and url.endswith(("/results", "/logs")):
            raise InvalidInput(said, where=url)
        if status == 409 and url.endswith(("/applied", "/claims", "/leases")):
            raise Conflict(said, where=url)
        raise Retryable(said, where=url, after=_retry_after(response))


@functools.cache
def trust() -> ssl.SSLContext:
    """Whom HTTPS trusts: the same for all racks of a process, for it takes long to read and a MiB to keep."""
    return httpx.create_ssl_context(trust_env=False)


@functools.cache
def shared_texts() -> Texts:
    """The texts of catalogs that are known here: the same for all racks of a process."""
    return Texts()


class _Nodes(msgspec.Struct):
    nodes: list[str]


_Value = TypeVar("_Value")

_jitter = random.SystemRandom()


async def patiently(what: str, ask: Callable[[], Awaitable[_Value]]) -> _Value:
    """Ask until it works. Between two tries it waits longer and longer, by chance a little more or less, so that many
    racks do not come back all at once. Errors other than ``Retryable`` pass."""
    pause, last = first_pause, ""
    while True:
        try:
            answer = await ask()
        except Retryable as error:
            if str(error) != last:
                log.warning("request failed, will be repeated", request=what, reason=str(error))
            last = str(error)
            await asyncio.sleep(max(error.after or 0.0, pause * _jitter.uniform(0.5, 1.0)))
            pause = min(pause * 2, longest_pause)
        else:
            if last:
                log.info("request works again", request=what)
            return answer


def _detail(response: Response) -> str:
    """What a problem document says (RFC 9457), or the beginning of whatever came instead."""
    try:
        problem = msgspec.json.decode(response.content, type=dict[str, object])
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return response.text[:200]
    parts = [str(problem[key]) for key in ("title", "where", "detail", "mend") if problem.get(key)]
    return "; ".join(parts) or response.text[:200]


def _retry_after(response: Response) -> float | None:
    seconds = response.headers.get("retry-after", "")
    return min(float(seconds), 60.0) if seconds.isdigit() else None
