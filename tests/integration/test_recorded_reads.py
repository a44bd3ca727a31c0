"""What a node task read when it last ended well is its old data; what its expressions read moves it. Both stores."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from rackwright.core.messages import Claim
from rackwright.core.ports import KeptReads, NotedReads
from rackwright.engine import deployments, machines, timers
from rackwright.store.postgres import PostgresStore
from tests.integration.conftest import AnyStore
from tests.integration.hands import Hands, failed, ok

ROLES = "- {name: web}\n- {name: db}\n"
TASKS = """
- id: render
  type: noop
  roles: [web]
  condition: {yaql_exp: "changed($.web_config.port)"}
  parameters: {port: {yaql_exp: $.web_config.port}, old: {yaql_exp: "old($.web_config.port).isUndef()"}}
- id: names
  type: noop
  roles: [web]
  condition: {yaql_exp: "changedAny($.names, $.debug)"}
  parameters: {new: {yaql_exp: added($.names)}, gone: {yaql_exp: deleted($.names)}, uid: {yaql_exp: $.uid}}
- {id: legacy, type: noop, roles: [web], condition: "settings:debug == true"}
- {id: plain, type: noop, roles: [db], parameters: {roles: {yaql_exp: $.roles}, level: {yaql_exp: "$.get(level, 3)"}}}
"""
WEB = {"web": ["n0", "n1"], "db": ["n0"]}
DATA: dict[str, Any] = {"web_config": {"port": 80, "other": 1}, "names": ["a", "b"], "debug": False}


class Site(Hands):
    """A deployment of a catalog that is not strict: its tasks declare no reads."""

    async def fuel(self, tasks: str = TASKS) -> None:
        """Apply it once with its data."""
        await self.site()
        files = {"catalog.yaml": "name: d\nstrict: false\n", "tasks.yaml": tasks, "roles.yaml": ROLES}
        await self.library.add(self.store, "d", files)
        await deployments.create(self.store, self.library, "d", catalog="d")
        await self.apply({"bind": WEB, "set": DATA})
        self.given: dict[tuple[str, str], Any] = {}

    def keep(self, claim: Claim) -> Any:
        """A jig that remembers the parameters that it was given."""
        self.given[claim.scope, claim.task] = claim.parameters
        return ok(claim)

    async def after(self, **changes: Any) -> list[tuple[str, str]]:
        """Make changes for all; what is carried out because of them, in the order of names."""
        if changes:
            await self.apply({"set": changes})
        return sorted(await self.run(self.keep))


@pytest.fixture
async def site(store: AnyStore) -> Site:
    made = Site(store, store.views)
    await made.fuel()
    return made


FIRST = [("n0", "names"), ("n0", "plain"), ("n0", "render"), ("n1", "names"), ("n1", "render")]


async def test_a_first_run_has_no_old_data_and_sees_what_people_set(site: Site) -> None:
    assert await site.after() == FIRST
    assert site.given["n1", "render"] == {"port": 80, "old": True}
    assert site.given["n1", "names"] == {"new": ["a", "b"], "gone": None, "uid": "n1"}
    assert site.given["n0", "plain"] == {"roles": ["db", "web"], "level": 3}
    assert set((await site.states()).values()) == {"active"}


async def test_a_change_moves_the_tasks_whose_expressions_read_it_and_no_others(site: Site) -> None:
    await site.after()
    plan = await site.plan({"set": {"web_config": {"port": 81}}})
    assert {item["task"] for item in plan.summary["again"]} == {"render"}
    assert await site.after(web_config={"port": 81}) == [("n0", "render"), ("n1", "render")]
    assert site.given["n0", "render"] == {"port": 81, "old": False}
    assert await site.after(web_config={"other": 2}) == [], "nobody reads it"
    assert await site.after(level=4) == [("n0", "plain")]
    assert site.given["n0", "plain"]["level"] == 4


async def test_a_change_for_one_node_runs_on_that_node(site: Site) -> None:
    await site.after()
    await site.apply({"set_nodes": {"n1": {"web_config": {"port": 99}}}})
    assert await site.after() == [("n1", "render")]
    assert await site.after(web_config={"port": 81}) == [("n0", "render")], "n1 has a value of its own"


async def test_what_came_and_went_is_told_from_the_last_run(site: Site) -> None:
    await site.after()
    assert await site.after(web_config={"port": 80, "other": 7}) == []
    assert await site.after(names=["a", "c"]) == [("n0", "names"), ("n1", "names")]
    assert site.given["n0", "names"] == {"new": ["c"], "gone": ["b"], "uid": "n0"}


async def test_a_condition_that_compares_skips_where_what_it_compares_is_as_before(store: AnyStore) -> None:
    made = Site(store, store.views)
    await made.fuel(
        """
- id: one
  type: noop
  roles: [web]
  condition: {yaql_exp: changed($.a)}
  parameters: {a: {yaql_exp: "$.get(a)"}, b: {yaql_exp: "$.get(b)"}}
"""
    )
    await made.after(a=1, b=1)
    assert await made.after(b=2) == [], "it is evaluated again, and its condition is false"
    assert await made.after(a=2) == [("n0", "one"), ("n1", "one")]
    assert await made.after(b=1, a=1) == [("n0", "one"), ("n1", "one")]
    assert set((await made.states()).values()) == {"active"}


async def test_old_data_that_is_not_there_is_null_in_parameters(store: AnyStore) -> None:
    made = Site(store, store.views)
    await made.fuel(
        "- {id: t, type: noop, roles: [db], parameters: {was: {yaql_exp: '[old($.a), old($.b)]'}, a: {yaql_exp: $.a}}}"
    )
    await made.after(a=1)
    assert made.given["n0", "t"] == {"was": [None, None], "a": 1}
    await made.after(a=2)
    assert made.given["n0", "t"] == {"was": [1, None], "a": 2}


async def test_a_key_that_is_asked_for_and_never_there_has_not_changed(store: AnyStore) -> None:
    made = Site(store, store.views)
    await made.fuel(
        """
- id: t
  type: noop
  roles: [db]
  condition: {yaql_exp: "changedAny($.web_config.get('token'), $.web_config.other)"}
"""
    )
    assert await made.after() == [("n0", "t")]
    assert await made.after(web_config={"other": 2}) == [("n0", "t")]
    assert await made.after(web_config={"other": 1, "token": "x"}) == [("n0", "t")]
    assert await made.after(web_config={"token": None}) == [("n0", "t")]
    await made.plan({"set": {"web_config": {"port": 5}}}, apply=True)
    assert await made.after() == []


async def test_a_legacy_condition_reads_its_settings(site: Site) -> None:
    await site.after()
    assert [pair for pair in await site.after(debug=True) if pair[1] == "legacy"] == [
        ("n0", "legacy"),
        ("n1", "legacy"),
    ]


async def test_an_attempt_that_is_fenced_off_does_not_become_the_past(site: Site) -> None:
    """The first attempt read port 80 and is lost; what counts is what the second one read."""
    await site.apply({"unbind": {"web": ["n1"], "db": ["n0"]}})
    late = {claim.task: claim for claim in await site.claim(incarnation="first")}
    while "render" not in late:
        await site.give(*[ok(claim) for claim in late.values()], incarnation="first")
        late = {claim.task: claim for claim in await site.claim(incarnation="first")}
    await site.apply({"set": {"web_config": {"port": 81}}})
    held = {claim.task: claim for claim in await site.claim(incarnation="second")}
    assert held["render"].parameters["port"] == 81
    assert not (await site.give(ok(late["render"]), incarnation="first")).items[0].taken
    assert (await site.give(ok(held["render"]), incarnation="second")).items[0].taken
    assert ("n0", "render") in await site.after(web_config={"port": 80})


async def test_a_result_of_inputs_that_have_changed_since_is_what_the_world_is_like(site: Site) -> None:
    """Port 81 was carried out while 80 was wanted again: 80 has to be carried out once more."""
    await site.after()
    await site.apply({"set": {"web_config": {"port": 81}}})
    held = await site.claim()
    await site.apply({"set": {"web_config": {"port": 80}}})
    verdicts = await site.give(*map(ok, held))
    assert {verdict.reason for verdict in verdicts.items} == {"superseded"}
    assert await site.after() == [("n0", "render"), ("n1", "render")]


async def test_after_an_attempt_that_failed_the_old_data_is_no_ground_to_do_nothing(site: Site) -> None:
    await site.after()
    await site.apply({"set": {"web_config": {"port": 81}}})
    await site.run(failed)
    assert (await site.states())["n0", "render"] == "error"
    assert await site.after(web_config={"port": 80}) == [("n0", "render"), ("n1", "render")]
    assert await site.after(web_config={"other": 5}) == []


async def test_a_run_that_a_person_asks_for_is_not_skipped_because_nothing_changed(site: Site) -> None:
    await site.after()
    assert await deployments.retry(site.store, "d", tasks=["render"], nodes=["n1"]) == 1
    assert await site.after() == [("n1", "render")]
    assert site.given["n1", "render"] == {"port": 80, "old": True}


async def test_a_node_that_was_gone_has_no_past(site: Site) -> None:
    await site.after()
    await machines.set_node(site.store, "n1", alive=False)
    await machines.set_node(site.store, "n1", alive=True)
    assert await site.after() == [("n1", "names"), ("n1", "render")]
    assert site.given["n1", "render"]["old"] is True


async def test_node_tasks_that_go_take_what_is_recorded_with_them(site: Site) -> None:
    await site.after()
    async with site.store.transaction() as tx:
        deployment = (await tx.named("deployment", ["d"]))["d"].id
        ids = await tx.find(deployment, ["render"], None)
        kept = await tx.kept_reads(ids)
        assert kept.keys() == set(ids)
        assert {one.newest for one in kept.values()} == {True}
        fingerprints = set(kept[ids[0]].reads.values())
        assert len(await tx.read_values(fingerprints)) == len(fingerprints)
    await site.apply({"unbind": {"web": ["n1"]}})
    async with site.store.transaction() as tx:
        assert len(await tx.kept_reads(ids)) == 1
    await deployments.delete(site.store, "d")
    async with site.store.transaction() as tx:
        assert await tx.kept_reads(ids) == {}
    assert await timers.sweep(site.store, site.library, 0) == (0, 0)
    async with site.store.transaction() as tx:
        assert await tx.read_values(fingerprints) == {}


async def test_the_slow_check_finds_nothing_to_mend_where_expressions_read(site: Site) -> None:
    await site.after()
    assert (await timers.sweep(site.store, site.library, 0))[1] == 0


async def test_only_what_was_noted_of_an_attempt_is_kept(store: AnyStore) -> None:
    async with store.transaction() as tx:
        await tx.note_reads([NotedReads(node_task=1, attempt=2, reads={"a": "f1"}, values={"f1": {"x": [1]}})])
        await tx.keep_reads([(1, 1), (2, 2)])
        assert await tx.kept_reads([1, 2]) == {}
        await tx.keep_reads([(1, 2)])
        assert await tx.kept_reads([1, 2]) == {1: KeptReads({"a": "f1"}, True)}
        await tx.note_reads([NotedReads(node_task=1, attempt=3, reads={"a": "f2"}, values={"f2": None, "f3": "loose"})])
        assert await tx.kept_reads([1]) == {1: KeptReads({"a": "f1"}, False)}
        assert await tx.drop_values() == 1
        assert await tx.read_values(["f1", "f2", "f3"]) == {"f1": {"x": [1]}, "f2": None}
        await tx.forget_reads([1])
        assert await tx.kept_reads([1]) == {}
        assert await tx.drop_values() == 2


async def test_a_value_that_is_being_noted_is_not_dropped(postgres_store: PostgresStore) -> None:
    """The note is not committed yet when dropping begins: dropping waits for it, and looks again."""
    value = {"f": [1]}
    async with postgres_store.transaction() as tx:
        await tx.note_reads([NotedReads(node_task=1, attempt=1, reads={"a": "f"}, values=value)])
    async with postgres_store.transaction() as tx:
        await tx.forget_reads([1])

    async def drop() -> int:
        async with postgres_store.transaction() as tx:
            return await tx.drop_values()

    async with postgres_store.transaction() as tx:
        await tx.note_reads([NotedReads(node_task=2, attempt=1, reads={"a": "f"}, values=value)])
        dropping = asyncio.create_task(drop())
        done, _ = await asyncio.wait([dropping], timeout=0.3)
        assert not done, "it waits"
    assert await dropping == 0
    async with postgres_store.transaction() as tx:
        assert await tx.read_values(["f"]) == value


async def test_the_catalogs_strictness_decides_who_may_set_sections(hands_of_tiny: Hands) -> None:
    plan = await hands_of_tiny.plan({"set": {"nowhere": {"a": 1}}})
    assert "has no role nowhere" in plan.error
    assert "has no role debug" in (await hands_of_tiny.plan({"set": {"debug": True}})).error


@pytest.fixture
async def hands_of_tiny(store: AnyStore) -> Hands:
    made = Hands(store, store.views)
    await made.site()
    await made.deployment("- {id: t, type: noop, roles: [web]}", ROLES, bind={"web": ["n0"]})
    return made


async def test_a_section_is_a_plain_value_or_a_mapping_and_not_both(site: Site) -> None:
    await site.after()
    await site.after(web_config=[1])
    await site.after(web_config={"port": 82})
    assert site.given["n1", "render"]["port"] == 82
    plan = await site.plan({"set": {"web": 3, "a.b": 1, "c": {"d.e": 1}}})
    assert plan.error.count("cannot be part of a path") == 2
    assert "the attributes of a role are a mapping" in plan.error
