"""What happens to nodes and deployments, as hooks are told of it."""

from __future__ import annotations

from collections.abc import Sequence

from rackwright.core.addresses import ADDRESS
from rackwright.core.facts import Fact
from rackwright.core.hooks import Happening
from rackwright.core.ports import Scope


def of_nodes(word: str, nodes: Sequence[Scope], **data: object) -> list[Happening]:
    """What happened to nodes: they were created, changed or deleted; ``data`` tells what changed."""
    return [
        Happening(event=f"node.{word}", id=node.id, scope=node.id, rack=node.rack, data={"name": node.name, **data})
        for node in nodes
    ]


def of_deployment(word: str, id: int, name: str, **data: object) -> list[Happening]:
    """What happened to a deployment."""
    return [Happening(event=f"deployment.{word}", id=id, deployment=id, data={"name": name, **data})]


def of_facts(changed: Sequence[Fact]) -> list[Happening]:
    """Nodes whose address changed: of all facts this one is what a node is known by."""
    return [
        Happening(event="node.changed", id=fact.scope, scope=fact.scope, data={"address": fact.value})
        for fact in changed
        if fact.path == ADDRESS
    ]
