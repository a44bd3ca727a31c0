"""What a verb for many machines would come to, told before it is said: its waves, its places, and how long it takes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import msgspec

from rackwright.core.budgets import Shares, Turn
from rackwright.core.forecast import Forecast, of_machines
from rackwright.core.ports import Store
from rackwright.engine import activities, campaigns
from rackwright.engine.activity_rows import layout
from rackwright.engine.campaigns import Wish
from rackwright.engine.library import CatalogLibrary


class Outlook(msgspec.Struct, frozen=True, kw_only=True):
    """What a verb for many machines would come to: machines per wave, how many of them stand at each place that has a
    budget, why others cannot follow, and how long it takes (None: the machines have no graph for it)."""

    verb: str
    waves: list[int]
    places: dict[str, int]
    errors: dict[str, str]
    forecast: Forecast | None


async def of_wish(store: Store, library: CatalogLibrary, wish: Wish) -> Outlook:
    """What a verb would come to. Nothing is changed. Raises as ``campaigns.say`` does."""
    verb = campaigns.checked(wish)
    async with store.transaction() as tx:
        found = await campaigns.candidates(tx, verb, wish)
        shares = (Shares(await tx.budgets(), {}), Shares(wish.budgets(), {}))
        made = None
        if verb.graph:
            deployment = await activities.system(tx, library)
            steps = layout((await library.shelf(tx, deployment.catalog)).catalog, verb.name).steps
            seconds = await tx.typical_seconds(deployment.id)
            chain = [(step.task.id, step.children) for step in steps]
            made = of_machines(chain, seconds, rounds(found.turns, shares), wish.waves)
        await tx.rollback()
    counted = Counter(place for turn in found.turns for place in turn.places)
    return Outlook(
        verb=verb.name,
        waves=list(found.sizes),
        places={place: count for place, count in sorted(counted.items()) if any(amounts(place, shares))},
        errors=found.errors,
        forecast=made,
    )


def rounds(turns: Sequence[Turn], shares: Sequence[Shares]) -> list[tuple[int, str]]:
    """How often, in each wave, machines of one place have to wait for one another there; and the place where that is
    most often."""
    per_wave: dict[int, Counter[str]] = {}
    for turn in turns:
        per_wave.setdefault(turn.wave, Counter()).update(turn.places)
    return [
        max(
            ((-(-count // amount), place) for place, count in counted.items() for amount in amounts(place, shares)),
            default=(1, ""),
        )
        for counted in per_wave.values()
    ]


def amounts(place: str, shares: Sequence[Shares]) -> list[int]:
    """How many machines may work at a place, by every budget that there is for it."""
    return [amount for each in shares if (amount := each.amount(place))]
