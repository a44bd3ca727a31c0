"""Campaigns: verbs for many machines, carried on as waves and budgets let them (see ``core.campaign``).

A conductor looks at each once a second; who begins one admits its first machines in the same transaction.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from rackwright.core import budgets, lifecycle, waves
from rackwright.core.audit import Change
from rackwright.core.budgets import Budget, Shares, Turn, admit
from rackwright.core.campaign import AT_ONCE, Campaign, Count, advanced, is_over
from rackwright.core.errors import Conflict, InvalidInput, NotFound, RackwrightError
from rackwright.core.lifecycle import Machine, Verb, word
from rackwright.core.ports import Event, Scope, Store, Transaction
from rackwright.core.topology import KINDS, in_turn
from rackwright.core.waves import WaveRule
from rackwright.engine import activities, shares
from rackwright.engine.activities import Answer, Order
from rackwright.engine.library import CatalogLibrary
from rackwright.engine.transact import transact

MOST = 500
"""Machines that begin in one transaction."""


class Wish(msgspec.Struct, frozen=True, kw_only=True):
    """A verb for machines, and how it is to go over them: in waves, with at most so many at the same time at each
    place of a kind (``max_per``), taking turns between places of the kind ``spread``. Empty: as budgets for all say."""

    verb: str
    names: Sequence[str]
    parameters: Mapping[str, Any] = {}
    waves: WaveRule | None = None
    max_per: Mapping[str, int] = {}
    spread: str = ""
    force: bool = False
    """Deployments that hold a machine let go of it, where the verb wants it alone."""
    asked_by: str = ""

    def order(self, verb: Verb) -> Order:
        """What is said to each machine."""
        return Order(verb=verb, parameters=self.parameters, force=self.force, asked_by=self.asked_by)

    def budgets(self) -> tuple[Budget, ...]:
        """The budgets of this campaign alone. Raises InvalidInput."""
        found = []
        for key, amount in self.max_per.items():
            kind, _, place = key.partition("=")
            found.append(Budget(kind=kind, place=place, amount=amount))
            budgets.check(found[-1])
        return tuple(found)

    @property
    def steered(self) -> bool:
        """Whether a person says how it is to go."""
        return bool(self.waves or self.max_per or self.spread)


class Candidates(msgspec.Struct, frozen=True, kw_only=True):
    """The machines of a wish: those whose turn will come, in order and with their waves, and why others have none."""

    turns: list[Turn]
    sizes: tuple[int, ...]
    """Machines per wave."""
    errors: dict[str, str]
    machines: dict[str, Machine | None]


class CampaignView(msgspec.Struct, frozen=True, kw_only=True):
    """A campaign as people read it."""

    id: int
    verb: str
    told: str
    halted: str
    waiting: int
    under_way: int
    failed: int
    asked_by: str
    began_at: float
    waves: list[int]
    max_per: dict[str, int]


async def say(store: Store, library: CatalogLibrary, wish: Wish, now: float) -> list[Answer]:
    """Say a verb to machines, at once or each at its turn; the answers are in the order of the names. Raises NotFound
    for an unknown verb, InvalidInput for waves or budgets that cannot be."""
    verb, names = checked(wish), list(dict.fromkeys(wish.names))

    async def begin(tx: Transaction) -> list[Answer] | None:
        if not wish.steered and not (verb.graph and await tx.budgets()):
            return None
        await tx.lock_campaigns()
        return await _begin(tx, library, verb, wish, now)

    begun = await transact(store, begin)
    if begun is not None:
        return begun
    parts = [names[start : start + MOST] for start in range(0, len(names), MOST)]
    said = [await _say(store, library, verb, part, wish, now, first=part is parts[0]) for part in parts]
    return [answer for answers in said for answer in answers]


async def _say(
    store: Store, library: CatalogLibrary, verb: Verb, names: Sequence[str], wish: Wish, now: float, *, first: bool
) -> list[Answer]:
    """Say a verb to some machines at once. What was said to the first ones is not forgotten when it cannot be said to
    more of them: those are told why."""
    try:
        return await transact(store, lambda tx: activities.say_in(tx, library, wish.order(verb), names, now))
    except RackwrightError as error:
        if first:
            raise
        return [Answer(name=name, error=str(error)) for name in names]


async def keep(store: Store, library: CatalogLibrary, now: float) -> int:
    """Carry every campaign on; gives to how many machines their verb was said. With none there is one query and
    nothing else."""
    async with store.transaction() as tx:
        ids = [campaign.id for campaign in await tx.campaigns()]

    async def one(id: int, tx: Transaction) -> int:
        await tx.lock_campaigns()
        return len(await _step(tx, library, id, now))

    told = 0
    for id in ids:
        try:
            told += await transact(store, functools.partial(one, id))
        except (InvalidInput, NotFound, Conflict) as error:
            await transact(store, functools.partial(_break_off, id, error))
    return told


async def candidates(tx: Transaction, verb: Verb, wish: Wish) -> Candidates:
    """Who can follow a wish, in which wave, and who cannot."""
    names = list(dict.fromkeys(wish.names))
    known = await tx.named("node", names)
    ids = [scope.id for scope in known.values()]
    machines, queued = await tx.machines(ids), await tx.in_campaigns(ids)
    errors: dict[str, str] = {}
    for name in names:
        try:
            _check_one(verb, name, known.get(name), machines, queued)
        except RackwrightError as error:
            errors[name] = str(error)
    good = [known[name] for name in names if name not in errors]
    where = await shares.places_of(tx, {scope.id: scope.rack for scope in good if scope.rack is not None})
    order = [scope.name for scope in good]
    if wish.spread:
        order = in_turn(order, {scope.name: _place_of(where[scope.id], wish.spread) for scope in good})
    assigned = waves.assign(wish.waves or AT_ONCE, order)
    turns = _turns(assigned, known, where)
    by_name = {name: machines.get(known[name].id) for name in names if name in known}
    return Candidates(turns=turns, sizes=tuple(map(len, assigned)), errors=errors, machines=by_name)


def checked(wish: Wish) -> Verb:
    """The verb of a wish. Raises NotFound for an unknown one, InvalidInput for waves or budgets that cannot be."""
    verb = lifecycle.verb_named(wish.verb)
    if wish.steered and not verb.graph:
        raise InvalidInput(f"{verb.name} is done at once", mend="waves and budgets are for verbs that take a while")
    if wish.spread and wish.spread not in KINDS:
        raise InvalidInput(f"{wish.spread!r} is no kind of place", mend=f"kinds: {', '.join(KINDS)}")
    if wish.waves is not None:
        waves.check(wish.waves)
    if wish.force and not verb.alone:
        raise InvalidInput(f"{verb.name} does not ask whether deployments hold a machine", mend="leave `force` out")
    wish.budgets()
    return verb


def _check_one(
    verb: Verb, name: str, scope: Scope | None, machines: Mapping[int, Machine], queued: Mapping[int, int]
) -> None:
    """Raises NotFound or Conflict where the verb cannot be said to this node, now or at its turn."""
    if scope is None:
        raise NotFound(f"there is no node {name}", mend="`rackwright get nodes` lists those that there are")
    if scope.id in queued:
        campaign = queued[scope.id]
        mend = f"`rackwright campaign cancel {campaign}` takes those out that wait"
        raise Conflict(f"{verb.name}: it is in the campaign {campaign}", where=name, mend=mend)
    if scope.rack is None:
        raise Conflict(f"{verb.name}: it stands in no rack", where=name, mend="add it with its rack")
    lifecycle.check(verb, machines.get(scope.id), name)


def _place_of(found: Sequence[str], kind: str) -> str:
    return next((place for place in found if place.startswith(f"{kind}=")), "")


def _turns(
    assigned: Sequence[Sequence[str]], known: Mapping[str, Scope], where: Mapping[int, tuple[str, ...]]
) -> list[Turn]:
    turns: list[Turn] = []
    for wave, names in enumerate(assigned, start=1):
        for name in names:
            id = known[name].id
            turns.append(Turn(scope=id, name=name, number=len(turns), wave=wave, places=where[id]))
    return turns


async def _begin(tx: Transaction, library: CatalogLibrary, verb: Verb, wish: Wish, now: float) -> list[Answer]:
    found = await candidates(tx, verb, wish)
    said: dict[str, Answer] = {name: Answer(name=name, error=error) for name, error in found.errors.items()}
    progress = waves.begin([[""] * size for size in found.sizes])
    if progress is not None:
        campaign = Campaign(
            id=0, verb=verb.name, parameters=dict(wish.parameters), rule=wish.waves or AT_ONCE, budgets=wish.budgets(),
            progress=progress, force=wish.force, asked_by=wish.asked_by, began_at=now,
        )  # fmt: skip
        id = await tx.add_campaign(campaign, found.turns)
        text = f"campaign {id}: {verb.name} for {len(found.turns)} machines"
        after = {"verb": verb.name, "machines": len(found.turns), "waves": list(found.sizes), **wish.max_per}
        await tx.note([Change(kind="campaign.began", text=text, after=after)])
        said |= {
            turn.name: Answer(name=turn.name, word=_word(found.machines[turn.name]), campaign=id)
            for turn in found.turns
        }
        said |= {answer.name: answer for answer in await _step(tx, library, id, now)}
    return [said[name] for name in dict.fromkeys(wish.names)]


def _word(machine: Machine | None) -> str:
    return word(machine) if machine is not None else "plain"


async def _step(tx: Transaction, library: CatalogLibrary, id: int, now: float) -> list[Answer]:
    """Carry one campaign on; gives what became of those whose turn has come."""
    found = await tx.campaigns([id])
    if not found:
        return []
    await tx.settle_turns(id)
    before = found[0]
    seen = await tx.campaign_seen(id, before.progress.wave)
    if is_over(before, seen):
        await tx.end_campaign(id)
        failed = seen.failed + before.refused
        await tx.record([_event("campaign.ended", before, f"is through, {failed} of its last wave failed")])
        return []
    campaign = advanced(before, seen, now)
    answers = [] if campaign.halted else await _admit(tx, library, campaign, now)
    refused = sum(bool(answer.error) for answer in answers)
    campaign = msgspec.structs.replace(campaign, refused=campaign.refused + refused)
    if campaign != before:
        await tx.save_campaign(campaign)
    if (campaign.progress.wave, campaign.halted) != (before.progress.wave, before.halted):
        await tx.record([_event("campaign.wave", campaign, campaign.told)])
    return answers


async def _break_off(id: int, why: RackwrightError, tx: Transaction) -> None:
    """End a campaign whose verb can be said to nobody: its catalog has no fitting graph any more, or a deployment
    cannot let go of its machines."""
    await tx.lock_campaigns()
    for campaign in await tx.campaigns([id]):
        await tx.end_campaign(id)
        await tx.record([_event("campaign.ended", campaign, f"is broken off: {why}")])


async def _admit(tx: Transaction, library: CatalogLibrary, campaign: Campaign, now: float) -> list[Answer]:
    """Say the verb to those whose turn has come."""
    left = await _left(tx, campaign)
    full = {place for each in left for place in each.full()}
    turns = admit(await tx.next_turns(campaign.id, campaign.progress.wave, full, MOST), left)
    if not turns:
        return []
    order = Order(
        verb=lifecycle.verb_named(campaign.verb), parameters=campaign.parameters, force=campaign.force,
        asked_by=campaign.asked_by,
    )  # fmt: skip
    answers = await activities.say_in(tx, library, order, [turn.name for turn in turns], now)
    begun = {turn.scope: answer.activity for turn, answer in zip(turns, answers, strict=True) if answer.activity}
    await tx.begin_turns(begun)
    await tx.drop_turns(campaign.id, [turn.scope for turn in turns if turn.scope not in begun])
    return answers


async def _left(tx: Transaction, campaign: Campaign) -> tuple[Shares, ...]:
    """What is left under the budgets for all, and under those of this campaign."""
    standing = await tx.budgets()
    if not standing and not campaign.budgets:
        return ()
    busy = await tx.busy_places()
    own = {place: count for (id, place), count in busy.items() if id == campaign.id}
    return Shares(standing, shares.everywhere(busy)), Shares(campaign.budgets, own)


def _event(kind: str, campaign: Campaign, text: str) -> Event:
    return Event(kind=kind, text=f"campaign {campaign.id} ({campaign.verb}): {text}", data={"campaign": campaign.id})


def view(campaign: Campaign, count: Count) -> CampaignView:
    """A campaign as people read it."""
    return CampaignView(
        id=campaign.id, verb=campaign.verb, told=campaign.told, halted=campaign.halted, waiting=count.waiting,
        under_way=count.under_way, failed=count.failed + campaign.refused, asked_by=campaign.asked_by,
        began_at=campaign.began_at, waves=list(campaign.progress.sizes),
        max_per={budget.key: budget.amount for budget in campaign.budgets},
    )  # fmt: skip
