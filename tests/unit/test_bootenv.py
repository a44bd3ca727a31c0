"""What a machine boots follows from its facts, whatever stands in them."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rackwright.core.bootenv import READS, Bootenv, derive

PLAN = {"request": "q1", "method": "preseed", "boot_image": "debian", "arguments": "auto", "data": {"hostname": "n1"}}
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(["request", "env", "data"]), inner),
    max_leaves=6,
)


@given(st.dictionaries(st.sampled_from(READS), ANYTHING))
def test_every_machine_boots_something_whatever_its_facts_are(facts: dict[str, Any]) -> None:
    assert isinstance(derive(facts), Bootenv)


@pytest.mark.parametrize(
    ("facts", "kind", "request_"),
    [
        ({}, "discovery", ""),
        ({"observed.os": {"id": "debian"}}, "local", ""),
        ({"os.plan": PLAN}, "install", "q1"),
        ({"os.plan": PLAN, "observed.os": {"request": "q0"}}, "install", "q1"),
        ({"os.plan": PLAN, "observed.installed": {"request": "q1"}}, "local", "q1"),
        ({"os.plan": PLAN, "os.written": {"request": "q1"}}, "local", "q1"),
        ({"os.plan": {**PLAN, "method": "memory"}, "os.written": {"request": "q1"}}, "memory", "q1"),
        ({"os.plan": PLAN, "machine.activity": {"env": "rescue", "id": "a1"}}, "rescue", "a1"),
        ({"os.plan": PLAN, "machine.activity": {"env": "", "id": "a1"}}, "install", "q1"),
        ({"os.plan": "odd", "observed.os": "odd"}, "local", ""),
        ({"machine.activity": {"env": "nonsense"}}, "discovery", ""),
    ],
)
def test_the_boot_environment_follows(facts: dict[str, Any], kind: str, request_: str) -> None:
    found = derive(facts)
    assert (found.kind, found.request) == (kind, request_)


def test_an_installer_is_told_what_its_plan_says() -> None:
    found = derive({"os.plan": PLAN})
    assert (found.image, found.method, found.arguments, found.data) == ("debian", "preseed", "auto", {"hostname": "n1"})
