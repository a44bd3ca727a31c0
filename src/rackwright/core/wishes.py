"""Wishes: which machines somebody would like to be given, and why there are not enough of them."""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Literal, Protocol

import msgspec

from rackwright.core import traits
from rackwright.core.errors import InvalidInput

AMOUNTS = ("cpu", "memory", "disk", "nics", "speed")
"""Traits that are numbers."""
CONSTRAINTS = (*AMOUNTS, "pool", "zone", "rack", "tag", "not-with")
"""All that a wish can ask, in the order in which a machine is judged by it."""
READY = "ready"
"""The word of machines that can be given to somebody."""

Spread = Literal["", "rack", "zone"]
Judgement = tuple[bool, ...]
"""Whether a machine passes each of CONSTRAINTS; what is not asked for is passed."""

_UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40, "P": 1 << 50}
_SPEED = {"": 1.0, "M": 1.0, "G": 1e3, "T": 1e6}
_AMOUNT = re.compile(r"(>=|<=|=|>|<)?\s*(\d+(?:\.\d+)?)\s*([KMGTP]?)")


class Wish(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """So many machines, each of which passes all of this; empty: anything does. Amounts are like ``>=16`` or ``64G``
    (at least so much); K to P are powers of 1,024, of ``speed`` powers of 1,000 bit/s. A tag ``!slow`` must not be
    there. With ``not_with`` no machine stands in a rack that has a member of one of these deployments. ``spread``: as
    evenly as can be over racks or zones."""

    count: int
    cpu: str = ""
    memory: str = ""
    disk: str = ""
    nics: str = ""
    speed: str = ""
    pools: list[str] = []
    zones: list[str] = []
    racks: list[str] = []
    tags: list[str] = []
    not_with: list[str] = []
    spread: Spread = ""

    def asked(self) -> Judgement:
        """Which of CONSTRAINTS it asks for."""
        said = [getattr(self, name) for name in AMOUNTS]
        return tuple(map(bool, [*said, self.pools, self.zones, self.racks, self.tags, self.not_with]))


class Criteria(msgspec.Struct, frozen=True, kw_only=True):
    """A wish as the store can ask it: numbers and ids. None: it is not asked for."""

    lowest: tuple[float | None, ...]
    """Per amount."""
    highest: tuple[float | None, ...]
    pools: tuple[str, ...] | None = None
    zones: tuple[str, ...] | None = None
    racks: tuple[int, ...] | None = None
    tags: tuple[str, ...] = ()
    without: tuple[str, ...] = ()
    """Tags that must not be there."""
    apart: tuple[int, ...] = ()
    """Racks in which no machine may stand."""
    spread: Spread = ""

    def judge(self, rack: int | None, zone: str, about: Mapping[str, Any]) -> Judgement:
        """How a machine with these traits passes."""
        limits = zip(AMOUNTS, self.lowest, self.highest, strict=True)
        has = (traits.has_tag(about, tag) for tag in self.tags)
        lacks = (not traits.has_tag(about, tag) for tag in self.without)
        return (
            *(low is None or high is None or low <= about.get(name, math.nan) <= high for name, low, high in limits),
            self.pools is None or about.get("pool", "") in self.pools,
            self.zones is None or zone in self.zones,
            self.racks is None or rack in self.racks,
            all(has) and all(lacks),
            rack not in self.apart,
        )


class ChoosingErrands(Protocol):
    """The part of the store's port by which machines are chosen. It keeps traits as the facts say."""

    async def pick(self, wanted: Criteria, count: int) -> list[int]:
        """Lock at most ``count`` ready machines that pass, and give their nodes: the least ones first, in turn over
        what it is spread over. Those that somebody else has just locked are passed over."""

    async def judged(self, wanted: Criteria) -> dict[Judgement, int]:
        """How many of the ready machines pass in which way."""


def criteria(wish: Wish, racks: Collection[int] | None, apart: Collection[int]) -> Criteria:
    """A wish as the store asks it. Raises InvalidInput for an amount that is none."""
    limits = [_limits(getattr(wish, name), name) for name in AMOUNTS]
    return Criteria(
        lowest=tuple(low for low, _ in limits),
        highest=tuple(high for _, high in limits),
        pools=tuple(wish.pools) or None,
        zones=tuple(wish.zones) or None,
        racks=None if racks is None else tuple(sorted(racks)),
        tags=tuple(tag for tag in wish.tags if not tag.startswith("!")),
        without=tuple(tag[1:] for tag in wish.tags if tag.startswith("!")),
        apart=tuple(sorted(apart)),
        spread=wish.spread,
    )


def passing(judged: Mapping[Judgement, int]) -> int:
    """How many pass in everything."""
    return sum(count for judgement, count in judged.items() if all(judgement))


def explained(wish: Wish, judged: Mapping[Judgement, int]) -> str:
    """Why there are not as many machines as wished: how many pass each constraint, and all up to it."""
    asked = [place for place, wanted in enumerate(wish.asked()) if wanted]
    lines = [f"{sum(judged.values())} are ready"]
    for number, place in enumerate(asked):
        alone = _counted(judged, [place])
        together = _counted(judged, asked[: number + 1])
        lines.append(f"{CONSTRAINTS[place]}: {alone} pass" + (f", {together} with all before" if number else ""))
    return "; ".join(lines)


def _counted(judged: Mapping[Judgement, int], places: Sequence[int]) -> int:
    return sum(count for judgement, count in judged.items() if all(judgement[place] for place in places))


def _limits(said: str, name: str) -> tuple[float | None, float | None]:
    """The lowest and the highest amount that will do."""
    if not said:
        return None, None
    found = _AMOUNT.fullmatch(said.strip().upper().removesuffix("B").removesuffix("I"))
    units = _SPEED if name == "speed" else _UNITS
    if found is None or found[3] not in units:
        raise InvalidInput(f"{said!r} is no amount", where=name, mend="write it as >=16, <=64G or 2T")
    amount = float(found[2]) * units[found[3]]
    lowest = {"=": amount, ">": math.nextafter(amount, math.inf), ">=": amount}.get(found[1] or ">=", -math.inf)
    highest = {"=": amount, "<": math.nextafter(amount, -math.inf), "<=": amount}.get(found[1] or ">=", math.inf)
    return lowest, highest
