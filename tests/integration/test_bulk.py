"""One request for very many machines: a result for each, in their order, however many transactions it takes."""

from __future__ import annotations

import itertools
import time
from typing import Any

import pytest

from rackwright.core.errors import InvalidInput, StoreUnavailable
from rackwright.engine import activities, campaigns
from rackwright.engine.activities import Answer
from rackwright.engine.campaigns import MOST, Wish
from rackwright.engine.machines import NewNode, add_nodes
from rackwright.store.postgres import PostgresStore
from tests.integration.conftest import AnyStore
from tests.integration.metal_site import MetalSite, site

NAMES = [f"m{number}" for number in range(2 * MOST + 3)]


async def opened(store: PostgresStore, monkeypatch: pytest.MonkeyPatch) -> MetalSite:
    made = site(store)
    await made.open(monkeypatch, 1)
    await add_nodes(store, [NewNode(name=name, rack="r0") for name in NAMES])
    return made


async def test_a_verb_over_very_many_machines_has_a_result_for_each(
    postgres_store: PostgresStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = await opened(postgres_store, monkeypatch)
    asked = ["nobody", *NAMES, "n0", NAMES[0]]
    answers = await campaigns.say(made.store, made.library, Wish(verb="accept", names=asked), time.time())
    assert [answer.name for answer in answers] == asked[:-1]
    assert [answer.name for answer in answers if answer.error] == ["nobody"]
    assert {answer.word for answer in answers if not answer.error} == {"ready"}
    begun = await campaigns.say(made.store, made.library, Wish(verb="test", names=NAMES), time.time())
    assert {(answer.word, answer.error) for answer in begun} == {("testing", "")}
    assert len({answer.activity for answer in begun}) == len(NAMES)


async def test_ten_thousand_machines_get_a_result_each_in_one_call(
    store: AnyStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = site(store)
    await made.open(monkeypatch, 1)
    names = [f"m{number}" for number in range(10_000)]
    await add_nodes(store, [NewNode(name=name, rack="r0") for name in names])
    asked = [*names[:5000], "nobody", *names[5000:]]
    verbs = {"accept": "ready"} | ({"test": "testing", "abort": "ready"} if isinstance(store, PostgresStore) else {})
    for verb, word in verbs.items():
        answers = await campaigns.say(made.store, made.library, Wish(verb=verb, names=asked), time.time())
        assert [answer.name for answer in answers] == asked
        assert {(answer.word, bool(answer.error)) for answer in answers} == {(word, False), ("", True)}
        assert [answer.name for answer in answers if answer.error] == ["nobody"]


async def test_what_was_said_to_the_first_ones_is_told_also_when_the_others_cannot_be_reached(
    postgres_store: PostgresStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = await opened(postgres_store, monkeypatch)
    real, calls = activities.say_in, itertools.count(1)

    async def fails_later(*given: Any) -> list[Answer]:
        if next(calls) > 1:
            raise StoreUnavailable("the database is gone")
        return await real(*given)

    monkeypatch.setattr(activities, "say_in", fails_later)
    answers = await campaigns.say(made.store, made.library, Wish(verb="accept", names=NAMES), time.time())
    assert [answer.error for answer in answers] == [""] * MOST + ["the database is gone"] * (MOST + 3)
    with pytest.raises(StoreUnavailable):
        await campaigns.say(made.store, made.library, Wish(verb="accept", names=NAMES), time.time())


async def test_a_verb_that_is_wrong_is_said_to_nobody(
    postgres_store: PostgresStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = await opened(postgres_store, monkeypatch)
    with pytest.raises(InvalidInput, match="is no kind of place"):
        await campaigns.say(made.store, made.library, Wish(verb="test", names=NAMES, spread="moon"), time.time())
