"""What racks serve, kept in step with the facts: in the same transaction as whatever changes them."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from rackwright.core import serving
from rackwright.core.ports import Event, Scope, Transaction
from rackwright.core.serving import NODE_READS, RACK_READS, ServedPlace


async def keep_in_step(tx: Transaction) -> None:
    """The last work of every transaction: make the documents anew of which something was changed in it, where a rack
    asks for them."""
    changed = tx.to_serve()
    places = await tx.lock_serving(changed) if changed else []
    if places:
        await tx.serve(await documents(tx, places))


async def documents(tx: Transaction, places: Sequence[tuple[int, int]]) -> list[ServedPlace]:
    """What the racks are to serve at these (rack, scope) places, from the facts as they are now; None where the scope
    is gone or stands elsewhere. Networks that make no sense are told as an event."""
    ids = {scope for _, scope in places}
    scopes = await tx.scopes(ids)
    facts: dict[int, dict[str, Any]] = {}
    for fact in await tx.facts(ids, (*NODE_READS, *RACK_READS)):
        facts.setdefault(fact.scope, {})[fact.path] = fact.value
    allocations = await tx.allocations([id for id, scope in scopes.items() if scope.kind == "node"])
    made: list[ServedPlace] = []
    for rack, id in places:
        scope = scopes.get(id)
        here = scope is not None and rack in (scope.rack, scope.id)
        document = _document(scope, facts.get(id, {}), allocations) if scope is not None and here else None
        made.append(ServedPlace(rack, id, document))
    await tx.record(_wrong(scopes.values(), facts))
    return made


def _document(scope: Scope, facts: Mapping[str, Any], allocations: Mapping[int, str]) -> bytes:
    if scope.kind == "rack":
        return serving.document(serving.project_rack(scope.name, facts)[0])
    allocation = allocations.get(scope.id, "new")
    return serving.document(serving.project_node(scope.id, scope.name, facts, allocation))


def _wrong(scopes: Collection[Scope], facts: Mapping[int, Mapping[str, Any]]) -> list[Event]:
    """What is wrong with the networks of racks."""
    events = []
    for rack in scopes:
        wrong = serving.project_rack(rack.name, facts.get(rack.id, {}))[1] if rack.kind == "rack" else ""
        if wrong:
            text = f"desired.rack.networks is not understood, the rack serves no network: {wrong}"
            events.append(Event(kind="rack.networks", text=text, scope=rack.name))
    return events
