"""A site with machines in one process: a small catalog of activities, and hands that say verbs."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import pytest

from rackwright.core.lifecycle import Machine, word
from rackwright.engine import campaigns, library
from rackwright.engine.activities import Answer
from rackwright.engine.campaigns import Wish
from rackwright.engine.machines import scope_named
from tests.integration.conftest import AnyStore
from tests.integration.hands import Hands

FILES = {
    "catalog.yaml": "name: metal\nstrict: true\n",
    "roles.yaml": "- {name: machine, description: a machine}\n",
    "graphs/commission/metadata.yaml": "bootenv: discovery\n",
    "graphs/commission/tasks.yaml": """
- {id: boot, type: noop, roles: '*', offline: true}
- {id: inventory, type: noop, roles: [machine], cross_depends: [{name: boot, role: '*'}], offline: true,
   writes: [checked.cpu]}
""",
    "graphs/deploy/tasks.yaml": """
- {id: os-plan, type: noop, roles: '*', offline: true, destructive: true, writes: [os.plan],
   reads: {said: machine.activity}}
- {id: os-write, type: noop, roles: '*', offline: true, destructive: true, requires: [os-plan],
   reads: {plan: os.plan}, writes: [os.written]}
- {id: burn-in-log, type: noop, roles: '*', offline: true, requires: [os-plan]}
""",
    "graphs/release/metadata.yaml": "bootenv: discovery\n",
    "graphs/release/tasks.yaml": "- {id: wipe, type: noop, roles: '*', offline: true, destructive: true}\n",
    "graphs/erase/tasks.yaml": "- {id: wipe, type: noop, roles: '*', offline: true, destructive: true}\n",
    "graphs/rescue/metadata.yaml": "bootenv: rescue\n",
    "graphs/rescue/tasks.yaml": "- {id: boot, type: noop, roles: '*', offline: true}\n",
    "graphs/exit-rescue/metadata.yaml": "bootenv: local\n",
    "graphs/exit-rescue/tasks.yaml": "- {id: boot, type: noop, roles: '*', offline: true}\n",
    "graphs/test/tasks.yaml": "- {id: burn-in, type: noop, roles: '*', offline: true}\n",
    "graphs/service/tasks.yaml": "- {id: wait, type: noop, roles: '*'}\n",
}


class MetalSite(Hands):
    """Operator, conductor and racks, with machines."""

    async def open(self, monkeypatch: pytest.MonkeyPatch, nodes: int = 2, racks: int = 1) -> None:
        """Racks, plain nodes in them, and the catalog of activities; the shipped one is not there."""
        monkeypatch.setattr(library, "shipped", dict)
        await self.library.add(self.store, "metal", FILES)
        await self.site(nodes, racks)

    async def say(self, verb: str, *names: str, **parameters: Any) -> list[Answer]:
        """Say a verb; gives the answers as they are."""
        wish = Wish(verb=verb, names=names, parameters=parameters)
        return await campaigns.say(self.store, self.library, wish, time.time())

    async def do(self, verb: str, *names: str, **parameters: Any) -> None:
        """Say a verb that nothing speaks against."""
        assert [answer.error for answer in await self.say(verb, *names, **parameters)] == [""] * len(names)

    async def machine(self, name: str) -> Machine:
        """A machine as it is."""
        async with self.store.transaction() as tx:
            scope = await scope_named(tx, "node", name)
            return (await tx.machines([scope.id]))[scope.id]

    async def words(self, *names: str) -> list[str]:
        """The words of machines."""
        return [word(await self.machine(name)) for name in names]

    async def facts(self, name: str) -> dict[str, Any]:
        """A node's facts."""
        return (await self.views.nodes(names=[name]))[0].facts


def site(store: AnyStore) -> MetalSite:
    """A site over a store."""
    return MetalSite(store, store.views)


def errors(answers: Sequence[Answer]) -> dict[str, str]:
    """What was refused, by name."""
    return {answer.name: answer.error for answer in answers if answer.error}
