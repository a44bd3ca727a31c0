"""How machines are switched: set by people, and told to the rack that they stand in."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from rackwright.core.errors import InvalidInput
from rackwright.core.facts import PEOPLE, FactWrite
from rackwright.core.ports import Store, Transaction
from rackwright.core.power import NodePower, PowerSetting
from rackwright.engine.intake import put_facts
from rackwright.engine.library import CatalogLibrary
from rackwright.engine.machines import scope_named
from rackwright.engine.sealing import Seal
from rackwright.engine.transact import transact

FACT = "desired.power"
NAME = "password of the BMC"
CHANGE = "password_changed"
"""In the fact: raised with every new password, so that racks ask for it."""


async def set_power(store: Store, library: CatalogLibrary, seal: Seal, node: str, setting: PowerSetting | None) -> None:
    """Say how a node is switched; None: nobody can. A setting without a password keeps the one that is there as long
    as driver, address and user stay the same."""
    scope = await transact(store, lambda tx: scope_named(tx, "node", node))

    async def work(tx: Transaction) -> Any:
        found = [fact.value for fact in await tx.facts([scope.id], [FACT]) if fact.path == FACT]
        before = found[0] if found else {}
        if setting is None:
            await tx.drop_sealed(NAME, [scope.id])
            return None
        fact: dict[str, Any] = {"driver": setting.driver, "address": setting.address, "user": setting.user}
        same = all(before.get(name) == value for name, value in fact.items())
        changed = int(before.get(CHANGE, 0))
        if setting.password:
            await tx.put_sealed(NAME, {scope.id: seal.close(scope.id, NAME, setting.password)})
            changed += 1
        elif not same:
            # A password is never shown to another address than the one that it was given for.
            await tx.drop_sealed(NAME, [scope.id])
        return {**fact, "options": setting.options, CHANGE: changed}

    value = await transact(store, work)
    await put_facts(store, library, [FactWrite(scope.id, FACT, value, PEOPLE)])


async def powers(store: Store, seal: Seal, rack: int, nodes: Sequence[str]) -> list[NodePower]:
    """How these nodes are switched, with their passwords: only those that stand in the rack and have a setting."""

    async def work(tx: Transaction) -> list[NodePower]:
        scopes = {scope.id: scope for scope in (await tx.named("node", nodes)).values() if scope.rack == rack}
        secrets = await tx.sealed(NAME, list(scopes))
        facts = [fact for fact in await tx.facts(list(scopes), [FACT]) if fact.path == FACT]
        return [
            NodePower(
                node=scopes[fact.scope].name,
                setting=_setting(seal, fact.scope, fact.value, secrets.get(fact.scope)),
            )
            for fact in facts
        ]

    return await transact(store, work)


def _setting(seal: Seal, scope: int, fact: Any, secret: bytes | None) -> PowerSetting:
    try:
        setting = msgspec.convert({name: value for name, value in fact.items() if name != CHANGE}, PowerSetting)
    except (msgspec.ValidationError, AttributeError) as error:
        raise InvalidInput(
            f"the fact {FACT} makes no sense: {error}", mend="set it with `rackwright node bmc`"
        ) from None
    password = seal.open(scope, NAME, secret) if secret is not None else ""
    return msgspec.structs.replace(setting, password=password)
