"""A law for statements that lock or change rows, which an empty database would never show to be needed."""

from __future__ import annotations

import re

from rackwright.store.postgres.queries import QUERIES

WRITES = re.compile(r"\bFOR (NO KEY )?(UPDATE|SHARE)\b|\bUPDATE \w+|\bDELETE FROM\b")


def union_in_a_list(statement: str) -> bool:
    """Whether it asks for rows that are IN (... UNION ALL ...): on the level of that list, not deeper."""
    for begin in re.finditer(r"\bIN \(", statement):
        depth, level = 1, ""
        for letter in statement[begin.end() :]:
            depth += {"(": 1, ")": -1}.get(letter, 0)
            if depth == 0:
                break
            level += letter if depth == 1 else ""
        if "UNION ALL" in level:
            return True
    return False


def test_the_law_knows_what_it_forbids() -> None:
    assert union_in_a_list("SELECT 1 FROM a WHERE b IN (SELECT c FROM d WHERE (e) UNION ALL SELECT 2) FOR UPDATE")
    assert not union_in_a_list("SELECT 1 FROM a WHERE b = ANY (ARRAY(SELECT 1 UNION ALL SELECT 2)) FOR UPDATE")
    assert not union_in_a_list("SELECT 1 FROM a WHERE b IN (SELECT c FROM (SELECT 1 UNION ALL SELECT 2) AS d (c))")


def test_no_statement_that_locks_or_changes_rows_asks_for_those_in_a_union() -> None:
    """PostgreSQL looks again at a row that another has changed while it was waited for, and then of the branches of
    the union it may know nothing: the row is left out, and nobody is told (seen with version 18). An array is read
    once: = ANY (ARRAY(...))."""
    said = {name: re.sub(r"--.*", "", text) for name, text in QUERIES.items()}
    assert [name for name, text in said.items() if WRITES.search(text) and union_in_a_list(text)] == []
