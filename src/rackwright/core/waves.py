"""Waves: a roll-out goes over some nodes first, and over more only if these are well.

Steps are cumulative: ``1``, ``10%``, ``50%`` are one node, then up to a tenth of all, then up to half, then all. A
step rests once nothing of it can go on by itself. It halts as soon as more of its places have failed than it
tolerates; nothing begins then until they are retried or a person lets it go on.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from rackwright.core.errors import InvalidInput
from rackwright.core.shares import share


class WaveRule(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How a roll-out goes: its steps (cumulative numbers or percentages), the nodes that come first of all, how many
    places of a step may fail, the seconds between two steps, and whether a person lets each step begin."""

    steps: tuple[int | str, ...] = (1, "10%", "50%")
    canary: tuple[str, ...] = ()
    tolerance: int | str = 0
    pause: float = 0.0
    manual: bool = False


class Progress(msgspec.Struct, frozen=True, kw_only=True):
    """How far a roll-out has come: the step that it is at, from 1, of so many, with the nodes of each."""

    wave: int
    sizes: tuple[int, ...]
    """New nodes per step."""
    rested_at: float | None = None
    """Since when the step rests."""
    promoted: bool = False
    """A person lets the next step begin."""
    forgiven: int = 0
    """So many failures of this step a person has seen and does not mind."""
    failed: int = 0
    """So many were there when it was last looked at."""

    @property
    def last(self) -> bool:
        """True when every node may work."""
        return self.wave >= len(self.sizes)


class Seen(msgspec.Struct, frozen=True):
    """The step as it stands: whether anything in it can go on by itself, and how many of its places have failed."""

    busy: bool
    failed: int


def check(rule: WaveRule) -> None:
    """Raises InvalidInput when a step or the tolerance cannot be read, or when there is no step."""
    for said in rule.steps:
        share(said, 1)
    share(rule.tolerance, 1)
    if not rule.steps and not rule.canary:
        raise InvalidInput("waves need a step", mend="write them like 1,10%,50%")


def assign(rule: WaveRule, nodes: Sequence[str]) -> list[list[str]]:
    """The nodes that are new in each step, in the given order, canaries first. Every step has one at least, and
    together they have every node once."""
    early = [name for name in rule.canary if name in set(nodes)]
    early = list(dict.fromkeys(early))
    order = early + [name for name in nodes if name not in set(early)]
    until = [len(early)] if early else []
    until += [min(share(step, len(order), least=1), len(order)) for step in rule.steps]
    waves, done = [], 0
    for end in [*until, len(order)]:
        if end > done:
            waves.append(order[done:end])
            done = end
    return waves


def begin(waves: Sequence[Sequence[str]]) -> Progress | None:
    """The beginning of a roll-out over these waves; None: there is no node."""
    return Progress(wave=1, sizes=tuple(len(wave) for wave in waves)) if waves else None


def halted(rule: WaveRule, at: Progress) -> str:
    """Why nothing may begin; empty: something may."""
    allowed = share(rule.tolerance, at.sizes[at.wave - 1])
    failed = at.failed - at.forgiven
    return f"halted: {failed} failed, tolerance {allowed}" if failed > allowed else ""


def advance(rule: WaveRule, at: Progress, seen: Seen, now: float) -> Progress:
    """Where the roll-out is after what was seen at ``now``: at the same step, or, if this one rests, is well, and has
    paused long enough or been promoted, at the next."""
    failed = seen.failed
    at = msgspec.structs.replace(at, failed=failed, forgiven=min(at.forgiven, failed))
    if seen.busy or halted(rule, at):
        return msgspec.structs.replace(at, rested_at=None)
    rested = now if at.rested_at is None else at.rested_at
    if at.last or (rule.manual and not at.promoted) or (not at.promoted and now < rested + rule.pause):
        return msgspec.structs.replace(at, rested_at=rested)
    return Progress(wave=at.wave + 1, sizes=at.sizes)


def told(rule: WaveRule, at: Progress) -> str:
    """How far it is, for people: ``wave 2 of 4: 12 of 40 nodes, halted: 3 failed, tolerance 2``."""
    open_, total = sum(at.sizes[: at.wave]), sum(at.sizes)
    text = f"wave {at.wave} of {len(at.sizes)}: {open_} of {total} nodes"
    why = halted(rule, at)
    if not why and at.rested_at is not None:
        why = "done" if at.last else ("waits to be promoted" if rule.manual else "pauses before the next")
    return f"{text}, {why}" if why else text
