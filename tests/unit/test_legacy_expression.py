"""The old condition language: what it means and how its faults are told."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rackwright.core.errors import InvalidInput
from rackwright.core.legacy_expression import current_path, legacy_paths, parse

MODELS: dict[str, Any] = {
    "settings": {
        "storage": {"images_ceph": True, "pools": ["a", "b"]},
        "murano": {"enabled": True},
        "debug": False,
        "size": 3,
    },
    "cluster": {"mode": "ha_compact", "net-provider": "neutron"},
}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("true", True),
        ("null", None),
        ("'two words'", "two words"),
        ('"it\'s"', "it's"),
        ("-12", -12),
        ("1.5", 1.5),
        ("settings:storage.images_ceph", True),
        ("settings:storage.images_ceph == true and cluster:mode == 'ha_compact'", True),
        ("cluster:net-provider == 'neutron'", True),
        ("settings:size == 3", True),
        ("settings:size != 3", False),
        ("'a' in settings:storage.pools", True),
        ("'ha' in cluster:mode", True),
        ("'x' in settings:nothing.there", False),
        ("settings:nothing.there", None),
        ("settings:size.deeper", None),
        ("nobody:knows", None),
        ("settings:nothing? == null", True),
        ("not settings:debug", True),
        ("not (true or false)", False),
        ("settings:debug or settings:size", 3),
        ("settings:debug and settings:size", False),
    ],
)
def test_an_expression_has_the_value_that_its_text_says(text: str, value: Any) -> None:
    assert parse(text)(MODELS) == value


@pytest.mark.parametrize(
    ("loose", "grouped"),
    [
        ("true or false and false", "true or (false and false)"),
        ("false and true == false", "false and (true == false)"),
        ("'a' == 'a' in 'ab'", "'a' == ('a' in 'ab')"),
        ("not 'a' == 'b'", "(not 'a') == 'b'"),
        ("not false in settings:list", "(not false) in settings:list"),
        ("1 == 1 == true", "(1 == 1) == true"),
    ],
)
def test_without_parentheses_the_tighter_operator_comes_first(loose: str, grouped: str) -> None:
    models = {"settings": {"list": [True]}}
    assert parse(loose)(models) == parse(grouped)(models)


_LEVELS = ("or", "and", "==", "in")


@given(
    st.lists(st.sampled_from(_LEVELS[:3]), min_size=1, max_size=5),
    st.lists(st.tuples(st.booleans(), st.booleans()), min_size=6, max_size=6),
)
def test_any_row_of_operators_means_what_full_parentheses_mean(operators: list[str], leaves: list[Any]) -> None:
    texts = [("not " if negated else "") + str(value).lower() for value, negated in leaves[: len(operators) + 1]]
    row = texts[0] + "".join(f" {operator} {text}" for operator, text in zip(operators, texts[1:], strict=True))
    assert parse(row)({}) == parse(_parenthesised(operators, texts))({})


def _parenthesised(operators: list[str], texts: list[str]) -> str:
    """Group by hand: split at the last of the loosest operators."""
    if not operators:
        return f"({texts[0]})"
    loosest = min(operators, key=_LEVELS.index)
    place = len(operators) - 1 - operators[::-1].index(loosest)
    left = _parenthesised(operators[:place], texts[: place + 1])
    right = _parenthesised(operators[place + 1 :], texts[place + 1 :])
    return f"({left} {loosest} {right})"


@pytest.mark.parametrize(
    ("old", "today"),
    [
        ("settings:additional_components.murano.value", "settings:murano.enabled"),
        ("settings:additional_components.murano", "settings:murano.enabled"),
        ("settings:common.debug.value", "settings:debug"),
        ("settings:common.debug", "settings:debug"),
        ("settings:storage.images_ceph.value", "settings:storage.images_ceph"),
        ("cluster:mode.value", "cluster:mode.value"),
    ],
)
def test_paths_of_old_settings_are_found_where_they_are_today(old: str, today: str) -> None:
    assert current_path(old) == today


def test_an_old_path_is_looked_up_at_its_new_place() -> None:
    assert parse("settings:additional_components.murano.value")(MODELS) is True


def test_a_text_that_looks_like_an_old_path_stays_a_text() -> None:
    assert parse("'settings:common.debug.value'")({}) == "settings:common.debug.value"


@pytest.mark.parametrize(
    ("text", "column"),
    [
        ("true and", 9),
        ("(true", 6),
        ("true true", 6),
        ("a == 1", 1),
        ("true & true", 6),
        ("", 1),
        ("== 1", 1),
        ("not", 4),
    ],
)
def test_a_fault_names_its_column(text: str, column: int) -> None:
    with pytest.raises(InvalidInput) as caught:
        parse(text)
    assert caught.value.where == f"column {column}"


def test_looking_into_a_number_is_an_error_that_shows_the_condition() -> None:
    with pytest.raises(InvalidInput, match="'a' in settings:size"):
        parse("'a' in settings:size")(MODELS)


@pytest.mark.parametrize(
    ("text", "paths"),
    [
        ("true", ()),
        (
            "settings:storage.images_ceph == true and cluster:mode == 'ha'",
            (("cluster", "mode"), ("storage", "images_ceph")),
        ),
        ("settings:common.debug.value or settings:debug", (("debug",),)),
        ("settings:additional_components.murano.value", (("murano", "enabled"),)),
        ("settings:nothing? == null and nobody:knows", (("nothing",),)),
        ("'settings:a' in settings:list", (("list",),)),
    ],
)
def test_an_expression_tells_the_paths_that_it_reads(text: str, paths: tuple[tuple[str, ...], ...]) -> None:
    assert legacy_paths(text) == paths


def test_a_text_that_is_no_expression_has_no_paths() -> None:
    with pytest.raises(InvalidInput):
        legacy_paths("settings:a ==")
