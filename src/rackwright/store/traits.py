"""What both stores say alike about traits: those that follow from facts that have changed."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from rackwright.core.facts import Fact
from rackwright.core.traits import follows


def following(changed: Iterable[Fact]) -> dict[int, dict[str, Any]]:
    """By scope, the traits that these facts change; None where one is gone."""
    found: dict[int, dict[str, Any]] = {}
    for fact in changed:
        said = follows(fact.path, fact.value)
        if said:
            found.setdefault(fact.scope, {}).update(said)
    return found
