"""What the embedded PostgreSQL says: errors from its log, words of its guard, its DSN."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from rackwright.core.errors import InvalidInput, RackwrightError, StoreUnavailable
from rackwright.store.embedded.log import explained, message_of
from rackwright.store.embedded.report import Busy, Doing, Ready, failed, parsed

LOG = Path("/data/postgres.log")


def test_a_full_disk_in_the_log_is_called_a_full_disk() -> None:
    line = '2026-01-01 00:00:00 UTC [7] FATAL:  could not write lock file "postmaster.pid": No space left on device'
    error = explained(["starting", line], LOG)
    assert "disk is full" in error.what
    assert "make room" in error.mend


def test_a_failed_start_is_explained_by_its_fatal_lines_without_their_times() -> None:
    lines = [
        "2026-01-01 00:00:00 UTC [7] LOG:  starting",
        "2026-01-01 00:00:00 UTC [7] FATAL:  could not map anonymous shared memory",
        "2026-01-01 00:00:00 UTC [7] HINT:  reduce the request",
    ]
    error = explained(lines, LOG)
    assert error.what.endswith("FATAL:  could not map anonymous shared memory; HINT:  reduce the request")
    assert error.where == str(LOG)


def test_a_silent_failure_says_that_it_was_silent() -> None:
    assert "it said nothing" in explained([], LOG).what


def test_a_line_without_a_prefix_is_its_own_message() -> None:
    assert message_of("plain text ") == "plain text"


@pytest.mark.parametrize("kind", [InvalidInput, StoreUnavailable])
def test_an_error_crosses_the_pipe_unchanged(kind: type[RackwrightError]) -> None:
    error = kind("it is wrong", where="there", mend="so")
    word = parsed(msgspec.json.encode(failed(error)))
    assert word == failed(error)
    assert type(failed(error).error()) is kind
    assert str(failed(error).error()) == str(error)


def test_words_are_told_apart_and_noise_is_none() -> None:
    assert parsed(b'{"type":"ready"}') == Ready()
    assert parsed(b'{"type":"busy"}') == Busy()
    assert parsed(b'{"type":"doing","text":"redo"}') == Doing("redo")
    assert parsed(b"Traceback (most recent call last):") is None
    assert parsed(b'{"type":"unheard of"}') is None
