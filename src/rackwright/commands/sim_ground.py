"""The ground on which machines of a fleet really ask for addresses: a network namespace with a cable for each rack.

Nothing of it touches the host's own network. This process goes into it, with all that it starts from then on; the
region stays outside, and is reached by a listening socket within whose connections a thread outside carries on.
"""

from __future__ import annotations

import asyncio
import os
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from contextlib import contextmanager
from functools import partial
from ipaddress import IPv4Interface
from urllib.parse import urlsplit

from rackwright.commands.lab_forward import Forward
from rackwright.core.errors import InvalidInput
from rackwright.sim import wires
from rackwright.sim.namespaces import entered

LAST_WORDS = 2.0
"""Seconds for connections to end by themselves."""


def far_end(rack: str) -> str:
    """The name of the machines' end of a rack's cable; the rack's end is called as the rack."""
    return f"{rack}m"


@contextmanager
def laid(server: str, racks: Mapping[str, IPv4Interface]) -> Iterator[str]:
    """Be on this ground while the context lasts: call it in the loop's thread, before others are begun. Gives the URL
    under which the region, which is at ``server``, is reached from there. ``racks``: the address of each at its end of
    the cable, by its name. Raises Permanent where the kernel or the user's rights do not allow it."""
    parts = urlsplit(server)
    if parts.scheme != "http" or parts.hostname is None:
        mend = "have the region answer on plain HTTP on this host"
        raise InvalidInput(
            "from a network of its own the simulator reaches no region by HTTPS", where=server, mend=mend
        )
    namespace = f"rackwright-sim-{os.getpid()}"
    try:
        wires.cables(namespace, {name: (far_end(name), address) for name, address in racks.items()})
        with entered(namespace):
            listening = socket.create_server(("127.0.0.1", 0))
        with _carrying(listening, parts.hostname, parts.port or 80), entered(namespace):
            yield f"http://127.0.0.1:{listening.getsockname()[1]}"
    finally:
        wires.tear(namespace)


@contextmanager
def _carrying(listening: socket.socket, host: str, port: int) -> Iterator[None]:
    """Carry connections on, in a thread that is where this one is now."""
    begun: Future[Callable[[], object]] = Future()

    async def carry() -> None:
        forward, stop = Forward(listening, host, port), asyncio.Event()
        await forward.open()
        begun.set_result(partial(asyncio.get_running_loop().call_soon_threadsafe, stop.set))
        await stop.wait()
        forward.close()
        # Who was carried has hung up by now: both ends hear of it.
        carried = asyncio.all_tasks() - {asyncio.current_task()}
        if carried:
            await asyncio.wait(carried, timeout=LAST_WORDS)

    thread = threading.Thread(target=lambda: asyncio.run(carry()), name="forward", daemon=True)
    thread.start()
    end = begun.result()
    try:
        yield
    finally:
        end()
        thread.join()
