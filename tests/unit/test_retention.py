"""Parts of history: they always cover all of time, and only what is old goes."""

from __future__ import annotations

import math
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from rackwright.core.retention import AHEAD, DAY, WEEK, Arrangement, Part, Span, arrange, following, length

NOW = 1_795_000_000.0


def applied(parts: list[Part], done: Arrangement, rows: list[float]) -> list[Part]:
    """The parts after an arrangement, as a store would have them."""
    spans = [part.span for part in parts if part.span not in done.drop]
    if done.narrow is not None:
        spans[-1] = done.narrow
    return holding([*spans, *done.make], rows)


def holding(spans: list[Span], rows: list[float]) -> list[Part]:
    return [Part(span, not any(span.start <= row < span.end for row in rows)) for span in sorted(spans)]


@given(
    st.lists(st.tuples(st.floats(0, 60 * DAY), st.floats(0.5 * DAY, 90 * DAY)), min_size=1, max_size=8),
    st.lists(st.floats(0, 200 * DAY), max_size=20),
)
def test_whatever_happens_time_is_covered_and_nothing_young_is_dropped(
    passes: list[tuple[float, float]], ages: list[float]
) -> None:
    now, rows = NOW, [NOW - age for age in ages]
    parts = holding([Span(-math.inf, NOW), Span(NOW, math.inf)], rows)
    for gone, keep in passes:
        now += gone
        rows.append(now)
        parts = holding([part.span for part in parts], rows)
        done = arrange(parts, now, keep)
        assert all(span.end <= now - keep or span == parts[-1].span for span in done.drop)
        assert parts[-1].span not in done.drop or parts[-1].empty
        rows = [row for row in rows if not any(span.start <= row < span.end for span in done.drop)]
        parts = applied(parts, done, rows)
        assert (parts[0].span.start, parts[-1].span.end) == (-math.inf, math.inf)
        assert all(one.span.end == other.span.start for one, other in pairwise(parts))
        assert parts[-1].span.start >= now + AHEAD * length(keep)
        assert all(part.empty for part in parts if part.span.end <= now - keep)
        assert arrange(parts, now, keep) == Arrangement()


def test_parts_are_weeks_from_monday_where_much_is_kept_and_days_where_little_is() -> None:
    assert (length(90 * DAY), length(3 * DAY)) == (WEEK, DAY)
    assert following(0.0, WEEK) == 4 * DAY
    assert following(4 * DAY, WEEK) == 11 * DAY
    assert following(1.0, DAY) == DAY


def test_what_is_old_goes_as_a_whole_and_an_empty_part_takes_its_place() -> None:
    old, young = Span(-math.inf, NOW - 50 * DAY), Span(NOW - 50 * DAY, NOW + 99 * DAY)
    done = arrange([Part(old, False), Part(young, False), Part(Span(young.end, math.inf), True)], NOW, 40 * DAY)
    assert done == Arrangement(drop=(old,), make=(old,))
