"""Why a node task runs, is skipped or waits: what people and programs are told."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import msgspec
from msgspec import UNSET, UnsetType

from rackwright.core.inputs import ABSENT

Verdict = Literal["active", "skipped", "running", "runs", "waits", "error"]
"""``active``: it is done, and nothing that it reads has changed; ``skipped``: its condition is false; ``running``: a
rack works on it; ``runs``: it will, nothing keeps it; ``waits``: something does; ``error``: it failed."""


class Obstacle(msgspec.Struct, frozen=True):
    """One thing that keeps a node task from running. ``kind``: commit, parent, barrier, stopped, held, wave, limit,
    budget, node, rack, busy, critical, pause, missing."""

    kind: str
    what: str


class ConditionSeen(msgspec.Struct, frozen=True):
    """A task's condition as written, and its value now: None where it fails, with the ``error``."""

    text: str
    value: bool | None
    error: str = ""


class ReadSeen(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One thing that an evaluation reads: its place in ``$``, the fact that it is, its value now, and what it was when
    the node task last ended well. A value that is absent, or that was not kept, is left out."""

    place: str
    read: str
    """``scope:path``; empty for what is there without a read (the node's own name and tags)."""
    change: Literal["same", "different", "new", "gone", "unrecorded"]
    """Against the last good run; ``unrecorded``: there was none."""
    now: Any | UnsetType = UNSET
    recorded: Any | UnsetType = UNSET


class LastRun(msgspec.Struct, frozen=True, kw_only=True):
    """The newest attempt that has ended."""

    attempt: int
    outcome: str
    reason: str
    started_at: float
    ended_at: float


class Explanation(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that decides about one node task."""

    deployment: str
    node: str
    task: str
    graph: str
    state: str
    verdict: Verdict
    why: str
    """One sentence."""
    waits_for: list[Obstacle]
    condition: ConditionSeen
    reads: list[ReadSeen]
    attempt: int
    runs: int
    last_run: LastRun | None


class Reading(msgspec.Struct, frozen=True, kw_only=True):
    """Fingerprints and values of what was read, by place; ``values`` may lack some."""

    fingerprints: Mapping[str, str] = {}
    values: Mapping[str, Any] = {}


def compare(reads: Mapping[str, str], now: Reading, recorded: Reading | None) -> list[ReadSeen]:
    """What is read now beside what was recorded (None: nothing was), by place. ``reads`` names the fact of a place;
    places that are neither there now nor were are told too, without values."""
    before = recorded or Reading()
    places = sorted(reads.keys() | now.fingerprints.keys() | before.fingerprints.keys())
    return [
        ReadSeen(
            place=place,
            read=reads.get(place, ""),
            change=_change(now.fingerprints.get(place), before.fingerprints.get(place), recorded is not None),
            now=now.values.get(place, UNSET),
            recorded=before.values.get(place, UNSET),
        )
        for place in places
    ]


def _change(
    now: str | None, before: str | None, recorded: bool
) -> Literal["same", "different", "new", "gone", "unrecorded"]:
    now, before = (None if found == ABSENT else found for found in (now, before))
    if not recorded:
        return "unrecorded"
    if now == before:
        return "same"
    if before is None:
        return "new"
    return "gone" if now is None else "different"
