"""The small parts of serialisation: sharing old data with new, cutting and joining."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rackwright.core.catalog import Task
from rackwright.core.errors import InvalidInput
from rackwright.core.resolution import Member
from rackwright.engine.serialization import Snapshot, State, serialize
from rackwright.engine.serialization.messages import Chunk
from rackwright.engine.serialization.work import answer, shared_with

_numbers = st.integers(-3, 3) | st.floats(allow_nan=False, allow_infinity=False, width=16) | st.just(-0.0)
_data = st.recursive(
    st.none() | st.booleans() | _numbers | st.sampled_from("abc"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("xyz"), inner, max_size=3),
    max_leaves=8,
)


@given(_data, _data)
def test_shared_data_says_what_it_said(new: Any, old: Any) -> None:
    assert msgspec.json.encode(shared_with(new, old)) == msgspec.json.encode(old)


@given(_data)
def test_equal_data_becomes_one_object(new: Any) -> None:
    copy = msgspec.json.decode(msgspec.json.encode(new))
    shared = shared_with(new, copy)
    assert shared is new or not isinstance(new, dict | list)


class _Spying:
    """A policy that keeps what it was given."""

    name = "spying"

    def __init__(self) -> None:
        self.chunks: list[Chunk] = []

    def answers(self, setup: bytes, chunks: Any) -> Any:
        """Answer as ``serial`` does."""
        for chunk in chunks:
            self.chunks.append(msgspec.msgpack.decode(chunk, type=Chunk))
            yield answer(setup, chunk)


def _tasks(**fields: Any) -> list[Task]:
    return [Task(**{"id": "t", "type": "noop", "roles": ("*", "x", "master"), **fields})]


def _state(names: list[str]) -> State:
    return State(Snapshot.of({"all": 1}, {name: {"uid": name} for name in names}))


def test_places_that_are_no_nodes_go_first_and_stand_last() -> None:
    names = [str(number) for number in range(100)]
    spying = _Spying()
    parameters = {"who": {"yaql_exp": "$.uid"}}
    graph = serialize(
        _tasks(parameters=parameters), [Member(name, ("x",)) for name in names], _state(names), policy=spying
    )
    assert [part.node for part in spying.chunks[0].parts] == ["master"]
    assert [instance.node for instance in graph.instances()] == [*names, "master"]
    assert [instance.parameters["who"] for instance in graph.instances()] == [*names, "master"]


def test_the_first_fault_in_the_order_of_places_is_told() -> None:
    names = ["1", "2"]
    broken = _tasks(condition={"yaql_exp": "$.absent"})
    with pytest.raises(InvalidInput, match="absent") as caught:
        serialize(broken, [Member(name, ("x",)) for name in names], _state(names))
    assert caught.value.where == "task t on node 1"


def test_a_value_without_a_form_is_refused() -> None:
    broken = _tasks(parameters={"was": {"yaql_exp": "old($.all)"}})
    with pytest.raises(InvalidInput, match="cannot be written"):
        serialize(broken, [Member("1", ("x",))], _state(["1"]))


def test_a_part_that_is_no_object_is_named() -> None:
    state = State(Snapshot(msgspec.Raw(b"{}"), {"1": msgspec.Raw(b"[1]")}))
    with pytest.raises(InvalidInput, match="Expected `object`") as caught:
        serialize(_tasks(roles="x"), [Member("1", ("x",))], state)
    assert caught.value.where == "new.nodes.1"
