"""A BMC that speaks Redfish (DMTF DSP0266): power, boot override, BIOS settings, sessions and basic authentication."""

from __future__ import annotations

import asyncio
import base64
import binascii
import json
import secrets
from collections.abc import Awaitable, Callable
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from rackwright.sim import redfish_resources as told
from rackwright.sim.bmc import Bmc

Answer = Callable[[Request], Awaitable[Response]]

FIRST_BIOS: dict[str, Any] = {"BootMode": "", "HyperThreading": "Enabled", "PowerProfile": "Balanced", "BootTimeout": 3}
FIXED = ("BootMode",)
"""Attributes that only the machine's make decides."""


class Refused(Exception):
    """An answer that is not the wished one: its status and what is wrong."""

    def __init__(self, status: int, what: str) -> None:
        super().__init__(what)
        self.status, self.what = status, what


class RedfishBmc:
    """One machine's BMC; ``app`` is its HTTP service."""

    def __init__(self, bmc: Bmc) -> None:
        self._bmc = bmc
        self._mode = "UEFI" if bmc.machine.shape.firmware == "uefi" else "Legacy"
        self._bios = {**FIRST_BIOS, "BootMode": self._mode}
        self._pending: dict[str, Any] = {}
        self._pending_since = 0
        self._sessions: dict[str, tuple[str, str]] = {}
        """Token by the session's number, with the password that opened it."""
        self.app = Starlette(routes=self._routes(), exception_handlers={Refused: _refuse})

    def _routes(self) -> list[Route]:
        root, system = told.ROOT, told.SYSTEM
        inventory = f"{root}/UpdateService/FirmwareInventory"
        pages: dict[str, Callable[[], dict[str, Any]]] = {
            f"{root}/Systems": lambda: told.collection(f"{root}/Systems", "ComputerSystem", [system]),
            system: lambda: told.system(self._bmc, self._mode),
            f"{system}/Bios": lambda: told.bios(self._settled()),
            f"{system}/Bios/Settings": lambda: told.bios_settings({**self._settled(), **self._pending}),
            f"{root}/Chassis": lambda: told.collection(f"{root}/Chassis", "Chassis", [told.CHASSIS]),
            told.CHASSIS: lambda: told.chassis(self._bmc),
            f"{told.CHASSIS}/Thermal": lambda: told.thermal(self._bmc),
            f"{root}/Managers": lambda: told.collection(f"{root}/Managers", "Manager", [told.MANAGER]),
            told.MANAGER: lambda: told.manager(self._bmc),
            f"{root}/SessionService": told.session_service,
            told.SESSIONS: lambda: told.collection(told.SESSIONS, "Session", self._session_paths()),
            f"{root}/UpdateService": told.update_service,
            inventory: lambda: told.collection(
                inventory, "SoftwareInventory", [f"{inventory}/BIOS", f"{inventory}/BMC"]
            ),
            f"{inventory}/BIOS": lambda: told.firmware("BIOS", "1.0"),
            f"{inventory}/BMC": lambda: told.firmware("BMC", "1.0"),
        }
        acts: list[tuple[str, str, Answer]] = [
            ("POST", f"{system}/Actions/ComputerSystem.Reset", self._reset),
            ("PATCH", system, self._override),
            ("PATCH", f"{system}/Bios/Settings", self._set_bios),
            ("POST", f"{system}/Bios/Actions/Bios.ResetBios", self._reset_bios),
            ("DELETE", f"{told.SESSIONS}/{{number}}", self._close),
        ]
        open_to_all = [
            Route(root, self._known(self._root)),
            Route(f"{root}/", self._known(self._root)),
            Route(told.SESSIONS, self._known(self._open), methods=["POST"]),
        ]
        return [
            *open_to_all,
            *(Route(path, self._known(self._let_in(_page(page)))) for path, page in pages.items()),
            *(Route(path, self._known(self._let_in(act)), methods=[method]) for method, path, act in acts),
        ]

    def _known(self, answer: Answer) -> Answer:
        """The same answer, with the BMC's faults."""

        async def faulty(request: Request) -> Response:
            while self._bmc.faults.gone:
                await asyncio.sleep(1.0)
            await asyncio.sleep(self._bmc.faults.slow)
            response = await answer(request)
            response.headers["OData-Version"] = "4.0"
            return response

        return faulty

    def _let_in(self, answer: Answer) -> Answer:
        """The same answer, for those who may use the BMC."""

        async def guarded(request: Request) -> Response:
            if not self._may(request):
                raise Refused(401, "the user, password or session is not valid")
            return await answer(request)

        return guarded

    def _may(self, request: Request) -> bool:
        shown = request.headers.get("x-auth-token")
        if shown is not None:
            return (shown, self._bmc.password) in self._sessions.values()
        kind, _, coded = request.headers.get("authorization", "").partition(" ")
        try:
            user, _, password = base64.b64decode(coded, validate=True).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError):
            return False
        return kind.lower() == "basic" and self._bmc.lets_in(user, password)

    async def _root(self, request: Request) -> Response:
        return JSONResponse(told.service_root(self._bmc))

    async def _open(self, request: Request) -> Response:
        said = await _body(request)
        user, password = str(said.get("UserName", "")), str(said.get("Password", ""))
        if not self._bmc.lets_in(user, password):
            raise Refused(401, "the user or password is not valid")
        number, token = secrets.token_hex(4), secrets.token_urlsafe(24)
        self._sessions[number] = (token, password)
        headers = {"X-Auth-Token": token, "Location": f"{told.SESSIONS}/{number}"}
        return JSONResponse(told.session(number, user), 201, headers)

    async def _close(self, request: Request) -> Response:
        if self._sessions.pop(request.path_params["number"], None) is None:
            raise Refused(404, "no such session")
        return Response(status_code=204)

    def _session_paths(self) -> list[str]:
        return [f"{told.SESSIONS}/{number}" for number in self._sessions]

    async def _reset(self, request: Request) -> Response:
        kind = (await _body(request)).get("ResetType")
        machine = self._bmc.machine
        acts = {
            "On": machine.on,
            "ForceOn": machine.on,
            "ForceOff": machine.off,
            "GracefulShutdown": machine.press,
            "GracefulRestart": machine.reset,
            "ForceRestart": machine.reset,
            "PowerCycle": machine.cycle,
        }
        act = acts.get(str(kind))
        if act is None:
            raise Refused(400, f"ResetType {kind!r} is none of {', '.join(told.RESETS)}")
        self._bmc.switch(act())
        return Response(status_code=204)

    async def _override(self, request: Request) -> Response:
        boot = (await _body(request)).get("Boot") or {}
        enabled = boot.get("BootSourceOverrideEnabled", "Once")
        target = boot.get("BootSourceOverrideTarget", "None")
        if target not in told.BOOT_TARGETS or enabled not in ("Disabled", "Once", "Continuous"):
            raise Refused(400, f"the boot override {enabled} {target} is not known here")
        if boot.get("BootSourceOverrideMode", self._mode) != self._mode:
            raise Refused(400, f"this machine boots in mode {self._mode} only")
        device = None if enabled == "Disabled" else told.BOOT_TARGETS[target]
        self._bmc.switch(self._bmc.machine.boot_from(device, once=enabled != "Continuous"))
        return Response(status_code=204)

    async def _set_bios(self, request: Request) -> Response:
        asked = (await _body(request)).get("Attributes") or {}
        wrong = [name for name in asked if name not in FIRST_BIOS or name in FIXED]
        if wrong:
            raise Refused(400, f"these attributes cannot be set: {', '.join(wrong)}")
        self._pending = {**self._pending, **asked}
        self._pending_since = self._bmc.machine.starts
        return Response(status_code=204)

    async def _reset_bios(self, request: Request) -> Response:
        self._pending = {name: value for name, value in FIRST_BIOS.items() if name not in FIXED}
        self._pending_since = self._bmc.machine.starts
        return Response(status_code=204)

    def _settled(self) -> dict[str, Any]:
        """The attributes in force: what was asked for counts from the next start."""
        if self._pending and self._bmc.machine.starts > self._pending_since:
            self._bios, self._pending = {**self._bios, **self._pending}, {}
        return self._bios


def _page(page: Callable[[], dict[str, Any]]) -> Answer:
    async def answer(request: Request) -> Response:
        return JSONResponse(page())

    return answer


async def _body(request: Request) -> dict[str, Any]:
    try:
        said = json.loads(await request.body() or b"{}")
    except ValueError:
        said = None
    if not isinstance(said, dict):
        raise Refused(400, "the body must be a JSON object")
    return said


async def _refuse(request: Request, error: Exception) -> Response:
    assert isinstance(error, Refused)
    headers = {"WWW-Authenticate": 'Basic realm="BMC"'} if error.status == 401 else None
    return JSONResponse(told.problem(error.what), error.status, headers)
