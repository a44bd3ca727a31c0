"""All BMCs of a lab, each on an address of its own, served by one process."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Iterator, Mapping
from pathlib import Path

import uvicorn
from starlette.types import ASGIApp, Receive, Scope, Send

from rackwright.sim.bmc import Bmc
from rackwright.sim.ipmi import PORT as IPMI_PORT
from rackwright.sim.ipmi import IpmiBmc
from rackwright.sim.redfish import RedfishBmc
from rackwright.sim.tls import self_signed

REDFISH_PORT = 443
BACKLOG = 64


class _Server(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Take none: the process that serves decides about its end."""
        yield


class _ByAddress:
    """Gives each request to the BMC at whose address it arrived."""

    def __init__(self, apps: Mapping[str, ASGIApp]) -> None:
        self._apps = apps

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._apps[scope["server"][0]](scope, receive, send)


class BmcHouse:
    """Serves BMCs by their addresses, until ``close``. Redfish speaks TLS with a certificate of its own, kept in
    ``folder``."""

    def __init__(
        self, bmcs: Mapping[str, Bmc], folder: Path, ipmi_port: int = IPMI_PORT, redfish_port: int = REDFISH_PORT
    ) -> None:
        self._folder = folder
        self._ipmi_port, self._redfish_port = ipmi_port, redfish_port
        self._by_kind = {
            kind: {address: bmc for address, bmc in bmcs.items() if bmc.machine.shape.bmc == kind}
            for kind in ("ipmi", "redfish")
        }
        self._ipmi: list[IpmiBmc] = []
        self._server: _Server | None = None
        self._serving: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Answer from now on. Raises OSError when an address cannot be had."""
        self._ipmi = [IpmiBmc(bmc, address, self._ipmi_port) for address, bmc in self._by_kind["ipmi"].items()]
        redfish = self._by_kind["redfish"]
        if not redfish:
            return
        sockets = [socket.create_server((address, self._redfish_port), backlog=BACKLOG) for address in redfish]
        certificate, key = self_signed(self._folder, list(redfish))
        app = _ByAddress({address: RedfishBmc(bmc).app for address, bmc in redfish.items()})
        config = uvicorn.Config(
            app, http="httptools", lifespan="off", log_config=None, access_log=False, server_header=False,
            ssl_certfile=str(certificate), ssl_keyfile=str(key), timeout_graceful_shutdown=1,
        )  # fmt: skip
        self._server = _Server(config)
        self._serving = asyncio.create_task(self._server.serve(sockets))

    async def close(self) -> None:
        """Answer no more."""
        for ipmi in self._ipmi:
            ipmi.close()
        if self._server is not None and self._serving is not None:
            self._server.should_exit = True
            await self._serving
