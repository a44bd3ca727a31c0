"""``/metadata`` and ``/install``: what installers and cloud-init ask for, as texts.

A task of the catalog has rendered them into ``answers`` of the boot environment's data. Where it gave none of a name,
the NoCloud files (https://docs.cloud-init.io/en/latest/reference/datasources/nocloud.html) are made of the other data.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from rackwright.core.errors import NotFound
from rackwright.core.served import ServedNode
from rackwright.rack.door.agents import is_installed
from rackwright.rack.door.boot_choice import substituted
from rackwright.rack.door.inside import door_url, inside, reply


async def answer(request: Request) -> Response:
    """One text for the machine with the token in the URL; the places ``${DOOR}``, ``${TOKEN}`` and ``${REQUEST}`` in
    it are filled."""
    token, name = request.path_params["token"], request.path_params["name"]
    node = inside(request).node_of(token)
    text = answer_text(node, name)
    filled = substituted(text, door_url(request), token, node.bootenv.request)
    return PlainTextResponse(filled, headers={"Cache-Control": "no-store"})


async def installer_is_done(request: Request) -> Response:
    """The same as ``/agent/installed``, for installers whose only tool is a plain GET."""
    here = inside(request)
    node = here.node_of(request.path_params["token"])
    await is_installed(here, node, request.query_params.get("request", ""))
    return reply({})


def answer_text(node: ServedNode, name: str) -> str:
    """The text of this name. Raises ``NotFound``."""
    data = node.bootenv.data
    given: dict[str, Any] = data.get("answers") or {}
    if isinstance(given.get(name), str):
        return str(given[name])
    if name in _MADE:
        return _MADE[name](node, data)
    known = ", ".join(sorted({*given, *_MADE}))
    raise NotFound(f"{node.name} has no answer {name!r}", where="os.plan", mend=f"there are: {known}")


def _meta_data(node: ServedNode, data: dict[str, Any]) -> str:
    hostname = data.get("hostname") or node.hostname or node.name
    said = {"instance-id": f"{node.name}-{node.bootenv.request or 'local'}", "local-hostname": hostname}
    return _yaml(said)


def _user_data(node: ServedNode, data: dict[str, Any]) -> str:
    if data.get("user_data"):
        return str(data["user_data"])
    hostname = data.get("hostname") or node.hostname or node.name
    return f"#cloud-config\n{_yaml({'hostname': hostname, 'ssh_authorized_keys': data.get('ssh_keys') or []})}"


def _keys(_: ServedNode, data: dict[str, Any]) -> str:
    return "".join(f"{key}\n" for key in data.get("ssh_keys") or [])


def _yaml(value: dict[str, Any]) -> str:
    """JSON, which is YAML too."""
    return f"{msgspec.json.encode(value).decode()}\n"


_MADE: dict[str, Callable[[ServedNode, dict[str, Any]], str]] = {
    "meta-data": _meta_data,
    "user-data": _user_data,
    "vendor-data": lambda _, __: "",
    "authorized_keys": _keys,
}

routes = [
    Route("/install/{token}/installed", installer_is_done, methods=["GET", "POST"]),
    Route("/install/{token}/{name:path}", answer),
    Route("/metadata/{token}/{name:path}", answer),
]
