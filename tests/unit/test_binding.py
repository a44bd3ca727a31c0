"""Binding: what comes with a role by itself, what excludes what, and what may be taken away."""

from __future__ import annotations

from collections.abc import Iterable
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rackwright.core.binding import Asked, Bound, Family, Pair, Settled, settle, unmet
from rackwright.core.catalog import Role
from rackwright.core.errors import Conflict, NotFound
from rackwright.core.resolution import NodeId


def family(*roles: Role, above: Iterable[str] = ()) -> Family:
    return Family({role.name: role for role in roles}, set(above))


def bind(kin: Family, *pairs: Pair, before: dict[NodeId, tuple[str, ...]] | None = None) -> Settled:
    return settle(before or {}, Asked(bind=pairs), kin)


BASE = Role(name="base", implicit=True)
TIME = Role(name="time")
WEB = Role(name="web", requires=("base", "time"))


def test_what_a_role_requires_comes_with_it_and_says_why() -> None:
    done = bind(family(BASE, TIME, WEB), ("web", "n1"))
    assert done.roster == {"n1": ("web", "base", "time")}
    assert done.bound == (Bound("base", "n1", "web requires it"), Bound("time", "n1", "web requires it"))


def test_an_implicit_role_comes_to_every_node_and_any_other_to_one() -> None:
    done = bind(family(BASE, TIME, WEB), ("web", "n10"), ("web", "n2"))
    assert done.roster == {"n2": ("web", "base", "time"), "n10": ("web", "base")}


def test_what_the_deployment_has_already_is_not_bound_again() -> None:
    done = bind(family(BASE, TIME, WEB), ("web", "n1"), before={"n9": ("time",)})
    assert done.roster == {"n1": ("web", "base"), "n9": ("time",)}


def test_what_a_deployment_above_offers_is_enough_unless_it_must_be_on_the_node() -> None:
    done = bind(family(BASE, TIME, WEB, above=["time", "base"]), ("web", "n1"))
    assert done.roster == {"n1": ("web", "base")}


def test_a_provider_stands_for_an_abstract_role() -> None:
    store = Role(name="store", abstract=True)
    needs = Role(name="app", requires=("store",))
    one, other = Role(name="pg", provides=("store",)), Role(name="my", provides=("store",))
    assert bind(family(store, needs, one), ("app", "n1")).roster == {"n1": ("app", "pg")}
    assert bind(family(store, needs, one, other), ("app", "n1"), ("my", "n2")).roster["n1"] == ("app",)
    with pytest.raises(Conflict, match="my and pg provide"):
        bind(family(store, needs, one, other), ("app", "n1"))
    with pytest.raises(Conflict, match="the role store is abstract"):
        bind(family(store, one), ("store", "n1"))
    with pytest.raises(NotFound, match="app on n1 requires store"):
        bind(family(store, needs), ("app", "n1"))


def test_roles_that_exclude_each_other_are_refused_and_both_are_named() -> None:
    kin = family(Role(name="a", conflicts=("b",)), Role(name="b"))
    with pytest.raises(Conflict, match="a and b exclude each other on n1"):
        bind(kin, ("a", "n1"), ("b", "n1"))
    assert bind(kin, ("a", "n1"), ("b", "n2")).bound == ()


def test_two_roles_that_provide_the_same_exclude_each_other() -> None:
    with pytest.raises(Conflict, match="exclude each other"):
        bind(family(Role(name="a", provides=("x",)), Role(name="b", provides=("x",))), ("a", "n1"), ("b", "n1"))


def test_a_service_is_bound_to_the_deployment_itself() -> None:
    kin = family(Role(name="dns", service=True, requires=("ca",)), Role(name="ca", service=True))
    web = Role(name="web", requires=("dns",))
    assert bind(kin, ("dns", None)).roster == {None: ("dns", "ca")}
    done = bind(family(*kin.roles.values(), web), ("web", "n1"))
    assert done.roster == {"n1": ("web",), None: ("dns", "ca")}


def test_a_service_that_requires_a_role_of_nodes_asks_for_it() -> None:
    kin = family(Role(name="dns", service=True, requires=("web",)), Role(name="web"))
    with pytest.raises(Conflict, match="no node has"):
        bind(kin, ("dns", None))
    assert bind(kin, ("dns", None), ("web", "n1")).roster == {None: ("dns",), "n1": ("web",)}


def test_every_new_node_gets_the_roles_of_discovery_once() -> None:
    kin = family(Role(name="inventory", discovery=True), TIME)
    assert bind(kin, ("time", "n1")).bound == (Bound("inventory", "n1", "every new node gets it"),)
    assert bind(kin, ("time", "n1"), before={"n1": ("time",)}).bound == ()


def test_what_others_need_is_not_taken_away() -> None:
    kin = family(BASE, TIME, WEB)
    before: dict[NodeId, tuple[str, ...]] = {"n1": ("base", "time"), "n2": ("web", "base")}
    with pytest.raises(Conflict, match="time is still needed by web on n2"):
        settle(before, Asked(unbind=(("time", "n1"),), cascade=True), kin)
    with pytest.raises(Conflict, match="base is still needed by web on n2") as refused:
        settle(before, Asked(unbind=(("base", "n2"),)), kin)
    assert "--cascade" in refused.value.mend
    assert settle(before, Asked(unbind=(("base", "n1"),)), kin).roster["n1"] == ("time",)


def test_a_cascade_takes_what_depends_on_it_on_the_same_node() -> None:
    kin = family(BASE, TIME, WEB)
    done = settle({"n1": ("web", "base", "time")}, Asked(unbind=(("base", "n1"),), cascade=True), kin)
    assert done.roster == {"n1": ("time",)}
    assert done.unbound == (Bound("web", "n1", "it requires base"),)


def test_a_cascade_takes_nothing_that_needs_what_was_elsewhere() -> None:
    before: dict[NodeId, tuple[str, ...]] = {"n1": ("time",), "n2": ("web", "base", "other")}
    asked = Asked(unbind=(("time", "n1"), ("other", "n2")), cascade=True)
    with pytest.raises(Conflict, match="time is still needed by web on n2"):
        settle(before, asked, family(BASE, TIME, WEB, Role(name="other")))


def test_what_never_ran_goes_with_a_cascade_wherever_it_is() -> None:
    kin = family(BASE, TIME, WEB)
    before: dict[NodeId, tuple[str, ...]] = {"n1": ("time",), "n2": ("web", "base")}
    asked = Asked(unbind=(("time", "n1"),), cascade=True)
    assert settle(before, asked, kin, has_run=lambda role, place: False).roster == {"n2": ("base",)}


def test_the_last_of_two_that_meet_a_need_is_the_one_that_is_kept() -> None:
    kin = family(BASE, TIME, WEB)
    before: dict[NodeId, tuple[str, ...]] = {"n1": ("time",), "n2": ("time",), "n3": ("web", "base")}
    once = settle(before, Asked(unbind=(("time", "n1"),)), kin)
    with pytest.raises(Conflict, match="still needed"):
        settle(once.roster, Asked(unbind=(("time", "n2"),)), kin)


def test_nobody_takes_away_what_is_not_there() -> None:
    with pytest.raises(NotFound, match="n1 does not have the role time"):
        settle({}, Asked(unbind=(("time", "n1"),)), family(TIME))


# ---- what holds for every catalog

NAMES = "abcdef"


@st.composite
def catalogs(draw: st.DrawFn) -> Family:
    """Roles that require only roles after them in the alphabet, so that there is no ring."""
    roles = []
    for place, name in enumerate(NAMES):
        later = st.lists(st.sampled_from(NAMES[place + 1 :]), unique=True) if name != "f" else st.just([])
        roles.append(
            Role(
                name=name,
                requires=tuple(draw(later)),
                implicit=draw(st.booleans()),
                discovery=draw(st.booleans()),
            )
        )
    return family(*roles)


PAIRS = st.lists(st.tuples(st.sampled_from(NAMES), st.sampled_from(["n1", "n2", "n10"])), min_size=1, max_size=8)


def as_sets(done: Settled) -> dict[NodeId, set[str]]:
    return {place: set(roles) for place, roles in done.roster.items()}


@given(catalogs(), PAIRS)
@settings(max_examples=150, deadline=None)
def test_nothing_is_lacking_after_binding_and_binding_again_changes_nothing(kin: Family, pairs: list[Pair]) -> None:
    done = bind(kin, *pairs)
    assert unmet(done.roster, kin) == []
    again = bind(kin, *pairs, before=done.roster)
    assert (again.roster, again.bound) == (done.roster, ())


@given(catalogs(), PAIRS, st.randoms())
@settings(max_examples=150, deadline=None)
def test_the_order_of_what_is_asked_does_not_matter(kin: Family, pairs: list[Pair], dice: Random) -> None:
    shuffled = dice.sample(pairs, len(pairs))
    assert as_sets(bind(kin, *pairs)) == as_sets(bind(kin, *shuffled))


@given(catalogs(), PAIRS, PAIRS)
@settings(max_examples=150, deadline=None)
def test_taking_away_all_that_came_gives_back_what_was(kin: Family, first: list[Pair], then: list[Pair]) -> None:
    before = bind(kin, *first).roster
    after = bind(kin, *then, before=before).roster
    came = [(role, place) for place, roles in after.items() for role in roles if role not in before.get(place, ())]
    back = settle(after, Asked(unbind=tuple(came)), kin).roster
    assert back == before


@given(catalogs(), PAIRS, st.data())
@settings(max_examples=150, deadline=None)
def test_what_may_be_taken_away_leaves_nothing_lacking(kin: Family, pairs: list[Pair], data: st.DataObject) -> None:
    roster = bind(kin, *pairs).roster
    one = data.draw(st.sampled_from([(role, place) for place, roles in roster.items() for role in roles]))
    try:
        left = settle(roster, Asked(unbind=(one,), cascade=True), kin)
    except Conflict:
        return
    assert one[0] not in left.roster.get(one[1], ())
    assert unmet(left.roster, kin) == []
    assert left.bound == ()
