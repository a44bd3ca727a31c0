"""Machines chosen by what they are like, pools, zones, and tags by rule: in both stores."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import pytest

from rackwright.core import wishes
from rackwright.core.errors import Conflict, InvalidInput, NotFound, TryAgain
from rackwright.core.facts import PEOPLE, WORLD, FactWrite
from rackwright.core.lifecycle import Machine
from rackwright.core.ports import Membership
from rackwright.core.whom import Whom
from rackwright.core.wishes import Wish, criteria
from rackwright.engine import campaigns, intake, picking, tag_orders
from rackwright.engine.library import CatalogLibrary
from rackwright.engine.observing import Observation, observe
from rackwright.store.memory import MemoryStore
from rackwright.store.postgres import PostgresStore
from tests.integration.conftest import AnyStore
from tests.integration.store_world import NOW, World, world

LIBRARY = CatalogLibrary()
G = 1 << 30


async def fleet(store: AnyStore, nodes: int = 8) -> World:
    """Ready machines in turn in r1 and r2: node n has 8n threads and n GiB of memory."""
    made = await world(store, nodes)
    async with store.transaction() as tx:
        await tx.save_machines([Machine(id=id, allocation="free") for id in made.nodes.values()])
    for number, name in enumerate(made.nodes, start=1):
        await say(made, name, **{"observed.inventory.cpu": {"threads": 8 * number}})
        await say(made, name, **{"observed.inventory.memory": {"bytes": number * G}})
    return made


async def say(made: World, name: str, **facts: Any) -> None:
    id = made.nodes.get(name) or made.racks[name]
    writes = [
        FactWrite(id, path, value, WORLD if path.startswith("observed") else PEOPLE) for path, value in facts.items()
    ]
    await intake.put_facts(made.store, LIBRARY, writes)


async def given(made: World, **wish: Any) -> list[str]:
    answers = await picking.allocate(made.store, LIBRARY, Wish(**wish), NOW)
    assert {answer.word for answer in answers} <= {"allocated"}
    return [answer.name for answer in answers]


async def test_the_least_machines_that_are_as_wished_are_given(store: AnyStore) -> None:
    made = await fleet(store)
    assert await given(made, count=2, cpu=">=16", memory="3G") == ["n3", "n4"]
    assert await given(made, count=2, cpu=">=16", memory="3G") == ["n5", "n6"]
    assert await given(made, count=1, cpu="=16") == ["n2"]
    with pytest.raises(Conflict, match=r"3 machines are wished for, 2 can be given: 3 are ready; cpu: 2 pass"):
        await given(made, count=3, cpu=">8")
    (node,) = await store.views.nodes(names=["n3"])
    assert node.word == "allocated"


async def test_it_is_told_how_many_pass_each_constraint(store: AnyStore) -> None:
    made = await fleet(store)
    await say(made, "n1", **{"desired.pool": "lab", "desired.tags.gpu": True})
    await say(made, "n8", **{"desired.tags.gpu": True})
    seen = await picking.outlook(store, Wish(count=9, cpu=">=16", pools=["lab"], tags=["gpu", "!slow"]))
    assert (seen.passing, seen.explanation) == (
        0,
        "8 are ready; cpu: 7 pass; pool: 1 pass, 0 with all before; tag: 2 pass, 0 with all before",
    )


async def test_machines_are_chosen_by_pool_zone_tag_rack_and_by_whom_they_are_not_with(store: AnyStore) -> None:
    made = await fleet(store)
    await say(made, "r2", **{"desired.rack.zone": "east"})
    await say(made, "n2", **{"desired.zone": "west"})
    for name in ("n1", "n2", "n4"):
        await say(made, name, **{"desired.pool": "lab"})
    await say(made, "n4", **{"desired.tags.slow": True})
    assert await given(made, count=1, pools=["lab"], zones=["east"]) == ["n4"]
    assert await given(made, count=1, pools=["lab"], zones=["west"]) == ["n2"]
    assert await given(made, count=1, tags=["!slow"], racks=["r2"]) == ["n6"]
    async with store.transaction() as tx:
        one = Membership(deployment=made.deployment, scope=made.nodes["n3"], name="n3", rack=None, roles=(), tags=())
        await tx.set_members(made.deployment, [one])
    assert await given(made, count=1, not_with=["web"]) == ["n8"]
    with pytest.raises(Conflict, match="not-with: 0 pass"):
        await given(made, count=1, not_with=["web"])
    groups = [(pool.name, pool.nodes, pool.ready) for pool in await store.views.groups("pool")]
    assert groups == [("lab", 3, 1)]
    assert [(zone.name, zone.nodes) for zone in await store.views.groups("zone")] == [("east", 3), ("west", 1)]


async def test_what_a_deployment_holds_or_has_installed_is_given_to_nobody(store: AnyStore) -> None:
    made = await fleet(store, nodes=4)
    held = [Membership(deployment=made.deployment, scope=made.nodes["n1"], name="n1", rack=None, roles=(), tags=())]
    async with store.transaction() as tx:
        await tx.set_members(made.deployment, held)
    home = [Observation(node="n2", facts={"observed.os": {"request": "r", "hostname": "n2"}}, alive=True)]
    await observe(store, LIBRARY, made.racks["r2"], home, NOW)
    assert await given(made, count=2) == ["n3", "n4"]
    refused = await campaigns.say(store, LIBRARY, campaigns.Wish(verb="allocate", names=["n1", "n2"]), NOW)
    assert ["web" in refused[0].error, "it has a system" in refused[1].error] == [True, True]


async def test_machines_are_spread_over_racks_and_zones(store: AnyStore) -> None:
    made = await fleet(store, nodes=6)
    for name in ("n1", "n3"):
        await say(made, name, **{"desired.pool": "p"})
    for name in ("n2", "n4", "n6"):
        await say(made, name, **{"desired.pool": "p", "desired.zone": "z"})
    assert await given(made, count=4, pools=["p"], spread="rack") == ["n1", "n2", "n3", "n4"]
    await say(made, "n5", **{"desired.pool": "p"})
    assert await given(made, count=2, pools=["p"], spread="zone") == ["n5", "n6"]


@pytest.mark.parametrize(
    ("wish", "error", "why"),
    [
        ({"count": 0}, InvalidInput, "cannot be given at once"),
        ({"count": 1, "cpu": "many"}, InvalidInput, "'many' is no amount"),
        ({"count": 1, "racks": ["r9"]}, NotFound, "there is no rack r9"),
        ({"count": 1, "not_with": ["d9"]}, NotFound, "there is no deployment d9"),
    ],
)
async def test_a_wish_that_makes_no_sense_is_refused(
    store: AnyStore, wish: dict[str, Any], error: type[Exception], why: str
) -> None:
    made = await fleet(store, nodes=1)
    with pytest.raises(error, match=why):
        await given(made, **wish)


async def test_many_that_wish_at_the_same_time_never_get_one_machine_twice(postgres_store: PostgresStore) -> None:
    made = await fleet(postgres_store, nodes=40)
    wished: list[dict[str, Any]] = [{"count": 3}, {"count": 4, "spread": "rack"}, {"count": 3, "cpu": "8"}] * 4

    async def ask(wish: dict[str, Any]) -> list[str]:
        return await given(made, **wish)

    found = await asyncio.gather(*map(ask, wished), return_exceptions=True)
    assert {type(each) for each in found} <= {list}, found
    names = [name for each in found if isinstance(each, list) for name in each]
    assert len(names) == len(set(names)) == 40
    with pytest.raises(Conflict, match="0 are ready"):
        await given(made, count=1)


async def test_machines_that_another_is_just_taking_are_waited_for(postgres_store: PostgresStore) -> None:
    made = await fleet(postgres_store, nodes=2)
    async with postgres_store.transaction() as tx:
        assert len(await tx.pick(criteria(Wish(count=2), None, ()), 2)) == 2
        with pytest.raises(TryAgain):
            await given(made, count=1)
    assert await given(made, count=1) == ["n1"]


async def test_any_wish_is_given_as_a_plain_look_at_every_machine_says(store: AnyStore) -> None:
    """Every constraint, alone and with others, against a reference that knows nothing of the product's rules."""
    chance = random.Random(11)
    made, kept = await described(store, 24, chance)
    for _ in range(40):
        wish = any_wish(chance)
        fit = [name for name in kept if fits(kept[name], wish)]
        seen = await picking.outlook(store, wish)
        assert seen.passing == len(fit), wish
        asked = criteria(wish, [made.racks[rack] for rack in wish.racks] if wish.racks else None, apart(made, wish))
        async with store.transaction() as tx:
            names = {id: name for name, id in made.nodes.items()}
            picked = [names[id] for id in await tx.pick(asked, wish.count)]
        assert len(picked) == min(wish.count, len(fit)), wish
        assert set(picked) <= set(fit), wish
        for place in {wish.spread} - {""}:
            assert even([kept[name][place] for name in picked], [kept[name][place] for name in fit]), wish


async def test_whoever_wishes_at_the_same_time_gets_what_fits_and_nothing_is_left_that_would(
    postgres_store: PostgresStore,
) -> None:
    chance = random.Random(5)
    _, kept = await described(postgres_store, 36, chance)
    wished = [any_wish(chance) for _ in range(24)]

    async def ask(wish: Wish) -> list[str]:
        answers = await picking.allocate(postgres_store, LIBRARY, wish, NOW)
        return [answer.name for answer in answers]

    found = await asyncio.gather(*map(ask, wished), return_exceptions=True)
    given_away: list[str] = []
    for wish, each in zip(wished, found, strict=True):
        if isinstance(each, list):
            assert len(each) == wish.count
            assert all(fits(kept[name], wish) for name in each), wish
            given_away += each
        else:
            assert isinstance(each, Conflict), each
    assert len(given_away) == len(set(given_away)) > 0
    left = [name for name in kept if name not in given_away]
    refused = [wish for wish, each in zip(wished, found, strict=True) if isinstance(each, Conflict)]
    assert all(sum(fits(kept[name], wish) for name in left) < wish.count for wish in refused)


Kept = dict[str, Any]
"""A machine as the reference sees it."""


async def described(store: AnyStore, nodes: int, chance: random.Random) -> tuple[World, dict[str, Kept]]:
    """Machines of many kinds, and the same as the reference sees them. One in r2 is a member of the deployment: it is
    given to nobody."""
    made = await fleet(store, nodes)
    await say(made, "r1", **{"desired.rack.zone": "east"})
    kept: dict[str, Kept] = {}
    for number, name in enumerate(made.nodes, start=1):
        disks = [{"bytes": chance.choice([1, 2, 3]) * G} for _ in range(chance.randrange(3))]
        nics = [{"speed": chance.choice([1000, 25000])} for _ in range(chance.randrange(3))]
        pool, zone, tags = chance.choice(["", "a", "b"]), chance.choice(["", "west"]), chance.sample("xyz", 2)
        facts: dict[str, Any] = {"observed.inventory.disks": disks, "observed.inventory.nics": nics}
        facts |= {f"desired.{key}": value for key, value in (("pool", pool), ("zone", zone)) if value}
        await say(made, name, **facts, **{f"desired.tags.{tag}": True for tag in tags})
        rack = "r1" if number % 2 else "r2"
        kept[name] = {
            "cpu": 8 * number,
            "memory": number * G,
            "disk": max((disk["bytes"] for disk in disks), default=None),
            "nics": len(nics) or None,
            "speed": max((nic["speed"] for nic in nics), default=None),
            "pool": pool,
            "zone": zone or ("east" if rack == "r1" else ""),
            "rack": rack,
            "tags": set(tags),
        }
    del kept["n2"]
    member = Membership(deployment=made.deployment, scope=made.nodes["n2"], name="n2", rack=None, roles=(), tags=())
    async with store.transaction() as tx:
        await tx.set_members(made.deployment, [member])
    return made, kept


def any_wish(chance: random.Random) -> Wish:
    def sometimes(*values: Any) -> Any:
        return chance.choice(values) if chance.random() < 0.3 else type(values[0])()

    return Wish(
        count=chance.randrange(1, 5),
        cpu=sometimes(">=64", "<90", ">40"),
        memory=sometimes("6G", "<=20G"),
        disk=sometimes("3G", "<5G"),
        nics=sometimes("1", "=2"),
        speed=sometimes("10G", "<=1G"),
        pools=sometimes(["a"], ["a", "b"]),
        zones=sometimes(["east"], ["west", "east"]),
        racks=sometimes(["r1"], ["r2"]),
        tags=sometimes(["x"], ["!x", "y"]),
        not_with=sometimes(["web"]),
        spread=sometimes("rack", "zone"),
    )


def fits(machine: Kept, wish: Wish) -> bool:
    """Whether a machine is as wished: written out for the words that ``any_wish`` uses."""
    amounts = {
        ">=64": lambda has: has >= 64, "<90": lambda has: has < 90, ">40": lambda has: has > 40,
        "6G": lambda has: has >= 6 * G, "<=20G": lambda has: has <= 20 * G, "3G": lambda has: has >= 3 * G,
        "<5G": lambda has: has < 5 * G, "1": lambda has: has >= 1, "=2": lambda has: has == 2,
        "10G": lambda has: has >= 10_000, "<=1G": lambda has: has <= 1000,
    }  # fmt: skip
    said = {name: getattr(wish, name) for name in ("cpu", "memory", "disk", "nics", "speed") if getattr(wish, name)}
    return (
        all(machine[name] is not None and amounts[word](machine[name]) for name, word in said.items())
        and (not wish.pools or machine["pool"] in wish.pools)
        and (not wish.zones or machine["zone"] in wish.zones)
        and (not wish.racks or machine["rack"] in wish.racks)
        and all((tag[1:] not in machine["tags"]) if tag[0] == "!" else (tag in machine["tags"]) for tag in wish.tags)
        and (not wish.not_with or machine["rack"] != "r2")
    )


def apart(made: World, wish: Wish) -> list[int]:
    return [made.racks["r2"]] if wish.not_with else []


def even(taken: list[str], there: list[str]) -> bool:
    """Whether no place has two more than another that has something left."""
    counts = {place: taken.count(place) for place in there}
    return all(
        counts[most] <= counts[least] + 1 for most in counts for least in counts if counts[least] < there.count(least)
    )


async def test_postgres_judges_as_memory_does(postgres_store: PostgresStore) -> None:
    chance = random.Random(7)
    both = [await fleet(store, nodes=24) for store in (MemoryStore(), postgres_store)]
    for number in range(1, 25):
        facts: dict[str, Any] = {
            "observed.inventory.disks": [{"bytes": chance.choice([1, 2, "odd"])} for _ in range(chance.randrange(3))],
            "observed.inventory.nics": [{"speed": chance.choice([None, 1000, 25000])}] * chance.randrange(3),
            "desired.pool": chance.choice([None, "a", "b", 7]),
            "desired.zone": chance.choice([None, "y"]),
            f"desired.tags.{chance.choice('xy')}": chance.choice([True, False, None]),
        }  # fmt: skip
        for made in both:
            await say(made, f"n{number}", **facts)
    for made in both:
        await say(made, "r1", **{"desired.rack.zone": "y"})
    for _ in range(60):
        wish = Wish(
            count=1, cpu=chance.choice(["", ">=64", "<90"]), disk=chance.choice(["", "2", "<2"]),
            nics=chance.choice(["", ">1"]), speed=chance.choice(["", "10G", "<=1G"]),
            pools=chance.choice([[], ["a"], ["a", "b"]]), zones=chance.choice([[], ["y"]]),
            tags=chance.choice([[], ["x"], ["!x", "y"]]), spread=chance.choice(["", "rack", "zone"]),
        )  # fmt: skip
        answers = []
        for made in both:
            asked = criteria(wish, [made.racks["r1"]] if wish.spread else None, ())
            async with made.store.transaction() as tx:
                names = {id: name for name, id in made.nodes.items()}
                picked = [names[id] for id in await tx.pick(asked, 5)]
                answers.append((await tx.judged(asked), picked))
        assert answers[0] == answers[1], wish


async def test_nodes_are_found_by_what_they_have_in_common(store: AnyStore) -> None:
    made = await fleet(store, nodes=4)
    await say(made, "r2", **{"desired.rack.zone": "east"})
    await say(made, "n4", **{"desired.tags.x": True, "desired.pool": "p"})
    for wanted, names in (
        (Whom(), ["n1", "n2", "n3", "n4"]),
        (Whom(zone="east"), ["n2", "n4"]),
        (Whom(zone="east", tags=["x"]), ["n4"]),
        (Whom(pool="p", rack="r1"), []),
        (Whom(rack="r1", word="ready"), ["n1", "n3"]),
        (Whom(labels={"a": "b"}), []),
    ):
        assert await picking.names_of(store, wanted) == names


async def test_a_rule_tags_nodes_and_follows_their_facts(store: AnyStore) -> None:
    made = await fleet(store, nodes=4)
    done = await tag_orders.put(store, LIBRARY, "big", "$.observed.inventory.cpu.threads >= 24")
    assert (done.nodes, done.changed, done.failed) == (4, 2, 0)
    (rule,) = await store.views.tag_rules()
    assert (rule.name, rule.reads, rule.nodes) == ("big", ["observed.inventory.cpu.threads"], 2)
    assert await picking.names_of(store, Whom(tags=["big"])) == ["n3", "n4"]
    await say(made, "n1", **{"observed.inventory.cpu": {"threads": 99}})
    await say(made, "n4", **{"observed.inventory.cpu": {"threads": 1}})
    await say(made, "n3", **{"observed.inventory.memory": {"bytes": 1}})
    assert [node.tags for node in await store.views.nodes()] == [["big"], [], ["big"], []]
    (node,) = await store.views.nodes(names=["n1"])
    assert node.facts["tags.big"] is True
    assert await given(made, count=1, tags=["!big"]) == ["n4"]
    await tag_orders.delete(store, LIBRARY, "big")
    assert [node.tags for node in await store.views.nodes()] == [[]] * 4
    await say(made, "n2", **{"observed.inventory.cpu": {"threads": 99}})
    assert await store.views.groups("tag") == []
    with pytest.raises(NotFound, match="no rule gives the tag big"):
        await tag_orders.delete(store, LIBRARY, "big")


async def test_a_rule_that_fails_for_a_node_does_not_tag_it_and_says_so(store: AnyStore) -> None:
    made = await fleet(store, nodes=2)
    await say(made, "n2", **{"observed.inventory.cpu": {"threads": "many"}})
    done = await tag_orders.put(store, LIBRARY, "big", "$.observed.inventory.cpu.threads * 2 > 1")
    assert (done.changed, done.failed) == (1, 1)
    assert "big" in done.fault or "threads" in done.fault


@pytest.mark.parametrize(
    ("name", "expression", "why"),
    [
        ("Big", "true", "is no name of a tag"),
        ("big", "$.observed.(", "cannot be read"),
        ("big", "$.os.plan = 1", r"cannot read \$.os"),
    ],
)
async def test_what_is_no_rule_is_refused(store: AnyStore, name: str, expression: str, why: str) -> None:
    with pytest.raises(InvalidInput, match=why):
        await tag_orders.put(store, LIBRARY, name, expression)


async def test_who_writes_while_a_rule_is_made_is_judged_by_it(postgres_store: PostgresStore) -> None:
    made = await fleet(postgres_store, nodes=2)
    async with postgres_store.transaction() as tx:
        late = FactWrite(made.nodes["n1"], "observed.inventory.cpu", {"threads": 900}, WORLD)
        await tx.put_facts([late])
        assert await tx.tag_rules() == []
        put = asyncio.create_task(
            tag_orders.put(postgres_store, LIBRARY, "big", "$.observed.inventory.cpu.threads >= 500")
        )
        await asyncio.sleep(0.2)
        assert not put.done()
    assert (await put).changed == 1


def test_explanations_count_alone_and_together() -> None:
    wish = Wish(count=1, cpu="1", zones=["z"])
    cpu_only = tuple(name != "zone" for name in wishes.CONSTRAINTS)
    both = tuple(True for _ in wishes.CONSTRAINTS)
    told = wishes.explained(wish, {both: 2, cpu_only: 3})
    assert told == "5 are ready; cpu: 5 pass; zone: 2 pass, 2 with all before"
    assert wishes.passing({both: 2, cpu_only: 3}) == 2


@pytest.mark.parametrize(
    ("said", "lowest", "highest"),
    [
        ("64G", 64 * G, float("inf")),
        (">= 1.5T", 1.5 * (1 << 40), float("inf")),
        ("=2", 2.0, 2.0),
        ("<=64GiB", float("-inf"), 64 * G),
    ],
)
def test_amounts_are_read(said: str, lowest: float, highest: float) -> None:
    asked = criteria(Wish(count=1, memory=said), None, ())
    assert (asked.lowest[1], asked.highest[1]) == (lowest, highest)
    assert criteria(Wish(count=1, speed="25G"), None, ()).lowest[4] == 25000
    assert asked.lowest[0] is None
