"""What many node tasks come to in one word: the same in both stores."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rackwright.core.node_task import State

REASONS = 20
"""At most so many reasons are given for a deployment."""

SILENT = 60.0
"""Seconds without a sign of life after which a rack is said to be silent."""

_NODE_ORDER = (State.ERROR, State.TRANSITION, State.TODO, State.BLOCKED, State.PROPOSED, State.ACTIVE)


def words(counts: Mapping[int, int]) -> dict[str, int]:
    """Counts by state's number as counts by its word, in the order of the states' numbers."""
    return {State(number).word: counts[number] for number in sorted(counts) if counts[number]}


def node_state(counts: Mapping[int, int]) -> str:
    """The state of a node: the most pressing of its node tasks; ``idle`` without any."""
    return next((state.word for state in _NODE_ORDER if counts.get(state)), "idle")


def rank(word: str) -> int:
    """The place of a node's state in the order of what presses most, from 1; ``idle`` is the last."""
    order = [state.word for state in _NODE_ORDER]
    return order.index(word) + 1 if word in order else len(order) + 1


def deployment_state(counts: Mapping[int, int], *, stopped: bool, going: bool) -> str:
    """The state of a deployment. ``going``: something in todo can run, for its node is there and not in error; or a
    barrier has opened, and some that wait behind it are to be woken in a moment.

    It is annealing as long as anything can go on by itself; then an error counts before what waits for a person,
    and that before what is merely blocked.
    """
    if not any(counts.values()):
        return "empty"
    if sum(counts.values()) == counts.get(State.ACTIVE, 0):
        return "active"
    if stopped:
        return "stopped"
    if going or counts.get(State.TRANSITION):
        return "annealing"
    if counts.get(State.ERROR):
        return "error"
    return "proposed" if counts.get(State.PROPOSED) else "blocked"


def reason(state: int, task: str, scope: str, why: str, waits: int, *, alive: bool, available: bool) -> str:
    """Why one node task does not go on."""
    if not why:
        if not alive:
            why = f"{scope} is not alive"
        elif not available:
            why = f"{scope} is held back"
        elif state == State.PROPOSED:
            why = "waits to be committed"
        elif state == State.TODO:
            why = "a critical error stops the node"
        elif waits:
            why = f"waits for {waits} other node task{'s' if waits > 1 else ''}"
        else:
            why = "waits"
    return f"{task} on {scope} is {State(state).word}: {why}"


def silence(rack: str, count: int) -> str:
    """Why node tasks of a rack that was not heard of do not go on."""
    return f"rack {rack} has not been heard of: {count} node task{'s' if count > 1 else ''} wait for it"


def told(event: dict[str, Any]) -> dict[str, Any]:
    """An event with its text: the end of an attempt (kind ``run``) gets it from what it holds."""
    if event["text"] is None:
        data = event["data"]
        why = f": {data['reason']}" if data["reason"] else ""
        event["text"] = f"{event['task']} on {event['scope']}: {data['outcome']}{why}"
    return event
