"""Rules that tag nodes: an expression over a node's facts, and what it reads."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from typing import Protocol

import msgspec

from rackwright.core.errors import InvalidInput
from rackwright.core.facts import Fact, touches
from rackwright.core.traits import RULES

WRITER = "tag rule"
"""Writer of the facts below ``tags``."""
ROOTS = ("desired", "observed")
"""The facts that rules may read: those of people and of the world."""

_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")


class TagRule(msgspec.Struct, frozen=True, kw_only=True):
    """A node has the tag while the expression holds for its facts, which it sees as ``$``: ``$.observed.inventory``."""

    name: str
    expression: str
    reads: tuple[str, ...]
    """Paths of facts; when one of them changes the node is judged anew."""

    @property
    def fact(self) -> str:
        """The fact that is true while a node has the tag."""
        return f"{RULES}.{self.name}"


class TagErrands(Protocol):
    """The part of the store's port that is about rules."""

    async def tag_rules(self) -> list[TagRule]:
        """All of them, by name."""

    async def put_tag_rule(self, rule: TagRule) -> None:
        """Keep a rule, in place of the one of this name."""

    async def drop_tag_rule(self, name: str) -> bool:
        """Forget a rule; False: there was none."""

    async def tag_rule_settled(self, name: str) -> bool:
        """True once every transaction that did not yet know of the rule has ended; also when it is gone."""

    async def nodes_after(self, id: int, limit: int) -> list[int]:
        """The next nodes by id."""


def named(name: str) -> str:
    """A name that a tag can have. Raises InvalidInput."""
    if not _NAME.fullmatch(name):
        raise InvalidInput(f"{name!r} is no name of a tag", mend="use lower-case letters, digits, - and _")
    return name


def reads_of(paths: Sequence[tuple[str, ...]]) -> tuple[str, ...]:
    """The facts behind the paths that an expression reads below ``$``. Raises InvalidInput for others than ROOTS."""
    strange = sorted({path[0] for path in paths if path and path[0] not in ROOTS})
    if strange:
        raise InvalidInput(f"a rule cannot read $.{strange[0]}", mend="it sees $.observed and $.desired")
    return tuple(sorted({".".join(path) for path in paths if path})) if all(paths) else ROOTS


def concerned(rule: TagRule, changed: Collection[Fact]) -> set[int]:
    """The scopes for which these changed facts may change what a rule says."""
    return {fact.scope for fact in changed if any(touches(read, fact.path) for read in rule.reads)}
