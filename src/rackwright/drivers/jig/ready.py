"""How to see that a service does its work: a port that answers, a URL that answers well, or a file that is there."""

from __future__ import annotations

import asyncio
import os

import httpx
import msgspec

from rackwright.core.errors import Permanent

one_try = 2.0
"""Seconds for one question."""

between_tries = 0.1
"""Seconds."""


class Check(msgspec.Struct, frozen=True, omit_defaults=True):
    """At most one of: ``tcp``, a port on the node's address; ``http``, a URL that must answer below 400; ``file``, a
    path. None of them: the process must only stay alive."""

    tcp: int | str | None = None
    http: str | None = None
    file: str | None = None

    def __str__(self) -> str:
        """In words, for reasons and logs."""
        if self.tcp is not None:
            return f"port {self.tcp}"
        return self.http or self.file or "staying alive"


async def passes(check: Check, address: str | None) -> bool:
    """Ask once; False for every kind of no. Raises ``Permanent`` when the check itself makes no sense."""
    if check.tcp is not None:
        if address is None:
            raise Permanent("a ready check by port needs an address, and there is none", mend="set `desired.address`")
        return await _port_answers(address, _port(check.tcp))
    if check.http is not None:
        return await _url_answers(check.http)
    return _file_is_there(check.file)


def _file_is_there(path: str | None) -> bool:
    return path is None or os.path.exists(path)


async def _port_answers(address: str, port: int) -> bool:
    try:
        async with asyncio.timeout(one_try):
            _, writer = await asyncio.open_connection(address, port)
    except (OSError, TimeoutError):
        return False
    writer.close()
    return True


async def _url_answers(url: str) -> bool:
    try:
        async with httpx.AsyncClient(timeout=one_try, trust_env=False) as client:
            return (await client.get(url)).status_code < 400
    except httpx.HTTPError:
        return False
    except httpx.InvalidURL as error:
        raise Permanent(f"the ready check's URL {url!r} is wrong: {error}", mend="mend `ready.http`") from error


def _port(tcp: int | str) -> int:
    """Ports often come from facts, thus perhaps as text."""
    if str(tcp).isdigit() and 0 < int(tcp) < 65536:
        return int(tcp)
    raise Permanent(f"the ready check's port {tcp!r} is wrong", mend="give `ready.tcp` a number from 1 to 65535")
