"""Our YAML text is PyYAML's, byte for byte."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from rackwright.engine.expressions.yaml_text import yaml_text

WORDS = [
    "", "yes", "No", "on", "null", "~", "true", "1", "0", "007", "089", "1.5", "1.2.3.4", "10.0.0.1/24", "1e3",
    "1.0e+3", ".5", "0x1f", "1_000", "10:20", "12:34:56", "52:54:00:ab:cd:ef", "2001-01-01", "2001-01-01 10:00:00",
    "=", "<<", "---", "...", "-", "- x", "--- x", "?x", "? x", "#x", "x #y", "x#y", "a:", "a: b", "a:b", ":a",
    "{{x}}", "[x", "x]", "&x", "*x", "!x", "|", ">", "%x", "@x", "`x", "'", "it's", '"', " lead", "trail ",
    "two words", "two  spaces", "a\nb", "a\n", "\n", "\ta", "a\tb", "é", "\x00", "\x85", "\u2028", "\ufeff",
    "\U0001f600", "x" * 130, "word " * 30, "word " * 16, "é " * 40, "http://10.0.0.1:8080/path?x=1&y=2",
    "deb http://a.b/c d e", "a, b", "a,b", "(x)", "x (y) z", "100%", "a=b", "k v: w", "\r",
]  # fmt: skip

texts = st.sampled_from(WORDS) | st.text(max_size=30) | st.lists(st.sampled_from(WORDS), max_size=20).map(" ".join)
scalars = texts | st.none() | st.booleans() | st.integers() | st.floats()
keys = texts
data = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(keys, inner, max_size=5),
    max_leaves=25,
)


def as_pyyaml(value: Any) -> str:
    """No two containers are one: PyYAML would write the second as a reference."""
    return str(yaml.dump(value, Dumper=getattr(yaml, "CSafeDumper", yaml.SafeDumper), default_flow_style=False))


@settings(max_examples=300, deadline=None)
@given(data)
def test_any_data_is_written_as_pyyaml_writes_it(value: Any) -> None:
    assert yaml_text(value) == as_pyyaml(value)


@pytest.mark.parametrize("text", WORDS)
def test_a_nasty_text_is_written_as_pyyaml_writes_it_wherever_it_is(text: str) -> None:
    for value in (text, [text], {text: 1}, {"a": text}, {"a": [{"b": [[text]]}]}, [{"k" * 60: text}]):
        assert yaml_text(value) == as_pyyaml(value)


@settings(max_examples=100, deadline=None)
@given(st.dictionaries(st.none() | st.booleans() | st.integers() | st.text(max_size=3), st.integers(), max_size=4))
def test_keys_that_are_no_texts_are_written_as_pyyaml_writes_them(value: Any) -> None:
    assert yaml_text(value) == as_pyyaml(value)


@pytest.mark.parametrize("width", range(60, 100))
def test_folding_begins_at_the_same_column(width: int) -> None:
    text = "w " * (width // 2) + "end"
    for value in ([text], {"key": text}, {"a": {"b": {"c": text, "l": [text, [text]]}}}, {"it's": text}):
        assert yaml_text(value) == as_pyyaml(value)


def test_the_same_part_twice_is_written_twice() -> None:
    part = {"x": [1]}
    assert yaml_text([part, part]) == "- x:\n  - 1\n- x:\n  - 1\n"
