"""Verbs: what people say to machines, many at a time."""

from __future__ import annotations

from typing import Any

import msgspec
from starlette.responses import Response

from rackwright.api.bodies import reply
from rackwright.api.call import PREFIX, Call, route
from rackwright.api.pages import whole
from rackwright.core import lifecycle
from rackwright.core.errors import InvalidInput
from rackwright.core.lifecycle import Verb
from rackwright.core.waves import WaveRule
from rackwright.core.whom import Whom
from rackwright.engine import campaigns, outlook, picking
from rackwright.engine.campaigns import Wish


class Said(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A verb for machines: those of these names, or those with all of these labels; ``parameters`` are what its
    activity is to know. ``waves``, ``max_per`` and ``spread`` say how it goes over them, and ``force`` whether
    deployments are to let go of them (see ``campaigns.Wish``)."""

    verb: str
    names: list[str] = []
    selector: dict[str, str] = {}
    whom: Whom | None = None
    parameters: dict[str, Any] = {}
    waves: WaveRule | None = None
    max_per: dict[str, int] = {}
    spread: str = ""
    force: bool = False


class VerbView(msgspec.Struct, frozen=True):
    """A verb as people read it."""

    name: str
    does: str
    destroys: bool
    """What is on the disks is lost."""
    activity: bool
    """It takes a while: a graph of tasks is carried out."""


async def batch(call: Call) -> Response:
    """Say a verb to machines; the answer has one result for each. Those that cannot follow it keep out no others."""
    services = call.services
    return whole(await campaigns.say(call.store, services.catalogs, await _wish(call), services.clock()))


async def forecast(call: Call) -> Response:
    """What a verb would come to: its waves, its places, who cannot follow, how long it takes. Nothing is done."""
    return reply(await outlook.of_wish(call.services.store, call.services.catalogs, await _wish(call)))


async def _wish(call: Call) -> Wish:
    said = await call.body(Said)
    if sum(map(bool, (said.names, said.selector, said.whom is not None))) != 1:
        raise InvalidInput(
            "give names, or whom it is said to, or a selector",
            where="/names",
            mend='as {"verb": "test", "names": ["n1"]}',
        )
    meant = said.whom or Whom(labels=said.selector)
    names = said.names or await picking.names_of(call.services.store, meant)
    return Wish(
        verb=said.verb, names=names, parameters=said.parameters, waves=said.waves, max_per=said.max_per,
        spread=said.spread, force=said.force, asked_by=call.caller.name,
    )  # fmt: skip


async def verbs(call: Call) -> Response:
    """All verbs."""
    return reply({"items": [_view(verb) for verb in lifecycle.VERBS.values()]})


def _view(verb: Verb) -> VerbView:
    return VerbView(verb.name, verb.does, verb.destroys, verb.graph)


routes = [
    route("POST", f"{PREFIX}/nodes:batch", batch, "admin"),
    route("POST", f"{PREFIX}/nodes:forecast", forecast, "read"),
    route("GET", f"{PREFIX}/verbs", verbs, "read"),
]
