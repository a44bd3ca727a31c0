"""Which workers may be used, and what is said of those that may not."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from rackwright.engine.serialization.dask.admission import NAME, Registration, refusal, refusals, registrations
from rackwright.engine.serialization.policy import PolicySettings

LIBRARIES = {"yaql": "3.2.0"}


def told(worker: Registration | None, **settings: Any) -> str:
    return refusal(worker, PolicySettings(**settings), LIBRARIES)


def worker(status: str = "provisioned", **other: Any) -> Registration:
    return Registration(**{"node": "n1", "status": status, "libraries": LIBRARIES, **other})


@pytest.mark.parametrize(
    ("status", "used"), [("ready", False), ("provisioned", True), ("discovered", True), ("error", True)]
)
def test_each_status_has_a_setting_and_ready_is_off(status: str, used: bool) -> None:
    assert (told(worker(status)) == "") is used
    assert told(worker(status), **{f"use_{status}": not used}) == (f"use_{status} is off" if used else "")


@pytest.mark.parametrize("status", ["", "removing", "Ready"])
def test_a_status_that_is_not_known_is_not_allowed(status: str) -> None:
    assert "not one of ready, provisioned, discovered, error" in told(worker(status))


def test_a_control_host_is_used_whatever_its_status() -> None:
    nothing = {f"use_{status}": False for status in ("ready", "provisioned", "discovered", "error")}
    assert told(worker("", control=True), **nothing) == ""


@pytest.mark.parametrize(
    ("found", "words"),
    [
        (None, "not a `rackwright serializer`"),
        (worker(control=True, leaving=True), "about to end"),
        (worker(control=True, protocol=99), "speaks protocol 99, this program "),
        (worker(control=True, libraries={"yaql": "3.1.0"}), "has yaql 3.1.0, this program 3.2.0"),
        (worker(control=True, libraries={}), "has yaql none"),
    ],
)
def test_a_worker_that_could_give_other_answers_is_not_used(found: Registration | None, words: str) -> None:
    assert words in told(found)


def test_every_worker_that_may_not_be_used_is_named_with_its_reason() -> None:
    found = {"tls://h:2": worker("ready"), "tls://h:1": None, "tls://h:3": worker()}
    assert refusals(found, PolicySettings(), LIBRARIES) == (
        "a worker at tls://h:1: it is not a `rackwright serializer`; node n1 (ready) at tls://h:2: use_ready is off"
    )
    assert refusals({}, PolicySettings(), LIBRARIES) == "there are no workers"


def test_what_workers_say_of_themselves_is_read_and_foreign_ones_are_none() -> None:
    said = {
        "tls://h:1": {"metrics": {NAME: msgspec.to_builtins(worker())}},
        "tls://h:2": {"metrics": {}},
        "tls://h:3": {"metrics": {NAME: {"node": 7}}},
        "tls://h:4": {},
    }
    assert registrations(said) == {"tls://h:1": worker(), "tls://h:2": None, "tls://h:3": None, "tls://h:4": None}
