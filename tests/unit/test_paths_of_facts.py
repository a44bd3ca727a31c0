"""Which facts are asked for: what the search by halves relies on."""

from __future__ import annotations

import bisect

from hypothesis import given
from hypothesis import strategies as st

from rackwright.store.postgres.facts import patterns

PATHS = st.lists(st.sampled_from("abc-"), min_size=1, max_size=4).map(".".join)


def found(path: str, exact: list[str], below: list[str]) -> bool:
    """What the query ``facts`` decides for one path."""

    def last(texts: list[str]) -> str | None:
        place = bisect.bisect_right(texts, path)
        return texts[place - 1] if place else None

    start = last(below)
    return path == last(exact) or (start is not None and path.startswith(start))


@given(PATHS, st.sets(PATHS, max_size=6))
def test_those_are_found_that_lie_on_above_or_below_a_path(path: str, asked: set[str]) -> None:
    wanted = any(path == one or one.startswith(f"{path}.") or path.startswith(f"{one}.") for one in asked)
    assert found(path, *patterns(asked)) is wanted
