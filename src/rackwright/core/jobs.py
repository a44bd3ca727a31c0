"""Coarse jobs of the control plane: delayed and periodic work, and the delivery of hooks. Never one per node task."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

JobState = Literal["todo", "doing", "succeeded", "failed", "cancelled", "aborted"]

MOST_ATTEMPTS = 5
"""So often a job is begun in all when it fails, or when its worker is gone."""
STALLED_AFTER = 15.0
"""Seconds without a sign of life after which a worker counts as gone."""


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """A job that somebody asks for."""

    kind: str
    arguments: dict[str, Any] = {}
    lock: str | None = None
    """Of the jobs with one lock one runs at a time, in the order in which they were asked for."""
    queueing_lock: str | None = None
    """Of the jobs with one queueing lock one waits at a time: a second one is that one."""
    not_before: float | None = None
    """Earliest start, seconds since the epoch; None: at once."""


class JobRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A job as it stands."""

    id: int
    kind: str
    arguments: dict[str, Any]
    state: JobState
    attempts: int
    """Attempts that have ended."""
    lock: str | None = None
    queueing_lock: str | None = None
    not_before: float | None = None
    changed_at: float | None = None
    """When its state last changed."""
