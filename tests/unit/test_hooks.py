"""Who is told what, when it is told again, and how it is signed."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from rackwright.core import signing
from rackwright.core.catalog import Catalog, Graph, Role, Task
from rackwright.core.errors import InvalidInput
from rackwright.core.hooks import (
    EVENTS,
    HOOKS,
    LONGEST_PAUSE,
    MOST_TRIES,
    Delivery,
    Happening,
    Message,
    Subscription,
    events_of,
    of_moves,
    settle,
)
from rackwright.core.lint.texts import files
from rackwright.core.node_task import Moved, State

KEY = b"k" * signing.KEY_LENGTH


def message(tries: int) -> Message:
    return Message(
        id=7,
        key="a-b",
        subscription=1,
        event="node.created",
        object="node/1",
        at=2.5,
        data={"b": 1, "a": 2},
        tries=tries,
    )


def after(tries: int, error: str, chance: float = 0.5) -> tuple[str, float]:
    ended = settle(message(tries), Delivery(message=7, number=tries, at=100.0, took=1.0, error=error), chance)
    return ended.state, ended.not_before


def test_every_hook_of_the_original_means_an_event() -> None:
    assert set(HOOKS.values()) == set(EVENTS)
    assert HOOKS["on_active"] == "node_task.active"
    assert HOOKS["on_node_delete"] == "node.deleted"
    assert HOOKS["on_deployment_create"] == "deployment.created"


def test_a_delivery_that_succeeds_ends_it_and_one_that_fails_is_repeated_after_a_doubled_pause() -> None:
    assert after(1, "") == ("delivered", 0.0)
    assert [after(tries, "no")[1] - 101.0 for tries in (1, 2, 3)] == [1.0, 2.0, 4.0]
    assert after(MOST_TRIES - 1, "no")[1] - 101.0 == LONGEST_PAUSE
    assert after(MOST_TRIES, "no") == ("parked", 0.0)


def test_the_pauses_of_many_are_spread() -> None:
    assert after(3, "no", 0.0)[1] < after(3, "no", 0.5)[1] < after(3, "no", 1.0)[1]


def test_a_body_is_always_the_same_bytes() -> None:
    body = b'{"data":{"a":2,"b":1},"sequence":7,"timestamp":2.5,"type":"node.created"}'
    assert message(1).body() == message(5).body() == body


def test_moves_are_only_looked_at_for_states_that_somebody_wants() -> None:
    moved = [
        Moved(1, 2, "deploy", "install", 3, 4, State.TODO, State.TRANSITION),
        Moved(1, 2, "deploy", "install", 3, 4, State.TRANSITION, State.ACTIVE),
    ]
    (said,) = of_moves(moved, {"node_task.active": frozenset({2}), "node.created": None})
    assert (said.event, said.object, said.data) == (
        "node_task.active",
        "node_task/1",
        {"graph": "deploy", "was": "transition"},
    )
    assert of_moves(moved, {}) == []
    assert of_moves(moved, {"node_task.active": frozenset({3})}) == []
    assert len(of_moves(moved, {"node_task.active": None, "node_task.transition": None})) == 2


@pytest.mark.parametrize(
    ("fields", "happened", "roles", "wanted"),
    [
        ({}, {"event": "node_task.active"}, None, True),
        ({}, {"event": "node_task.error"}, None, False),
        ({"deployment": 1}, {"event": "node_task.active", "deployment": 1}, None, True),
        ({"deployment": 1}, {"event": "node_task.active", "deployment": 2}, None, False),
        ({"tasks": ("a",)}, {"event": "node_task.active", "task": "b"}, None, False),
        ({"tasks": ("a",)}, {"event": "node.changed"}, None, True),
        ({"deployment": 1}, {"event": "node.changed"}, None, False),
        ({"deployment": 1}, {"event": "node.changed"}, ("web",), True),
        ({"deployment": 1, "role": "web"}, {"event": "node.changed"}, ("db",), False),
        ({"deployment": 1, "role": "web"}, {"event": "node_task.active", "deployment": 1}, ("web",), True),
        ({"deployment": 1, "role": "web"}, {"event": "deployment.active", "deployment": 1}, None, True),
    ],
)
def test_a_subscription_wants_what_it_says(
    fields: dict[str, Any], happened: dict[str, Any], roles: tuple[str, ...] | None, wanted: bool
) -> None:
    events = ("node_task.active", "node.changed", "deployment.active")
    made = Subscription(name="s", kind="webhook", events=events, **fields)
    assert made.wants(Happening(id=1, **happened), roles) is wanted


def test_a_star_means_all_of_a_kind_and_what_there_is_not_is_refused() -> None:
    assert events_of(["node.*", "node.created"]) == ("node.created", "node.changed", "node.deleted")
    for wrong in ("*", "node", "rack.*", "node.happy"):
        with pytest.raises(InvalidInput, match="there is no event"):
            events_of([wrong])


def test_a_signature_is_that_of_the_specification() -> None:
    """The example of the Standard Webhooks specification's reference libraries."""
    secret = base64.b64decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    headers = signing.headers(secret, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}')
    assert headers["webhook-signature"] == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
    assert headers["webhook-id"] == "msg_p5jXN8AQM9LWM0D4loKWxJek"
    assert headers["webhook-timestamp"] == "1614265330"


def test_a_secret_comes_of_key_and_salt_and_a_wrong_key_is_noticed() -> None:
    salt, other = signing.new_salt(KEY, b"1" * 32), signing.new_salt(KEY, b"2" * 32)
    assert signing.secret(KEY, salt) == signing.secret(KEY, salt) != signing.secret(KEY, other)
    assert len(signing.secret(KEY, salt)) == 32
    assert signing.fits(KEY, salt)
    assert not signing.fits(b"x" * 32, salt)
    assert KEY not in salt


def test_lint_names_a_hook_whose_script_is_not_there() -> None:
    task = Task(id="install", type="noop", hooks={"on_active": "scripts/here.sh"})
    role = Role(name="web", hooks={"on_error": "scripts/gone.sh"})
    catalog = Catalog(
        name="c", roles={"web": role}, graphs={"deploy": Graph(type="deploy", tasks=(task,))},
        files={"scripts/here.sh": "#!/bin/sh"},
    )  # fmt: skip
    assert [finding.message for finding in files(catalog)] == [
        "role web: on_error: the catalog has no file scripts/gone.sh"
    ]
