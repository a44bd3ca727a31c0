"""What a rack and the api say to each other: JSON bodies of the rack's requests and answers."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from rackwright.core.services import Beat


class Claim(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One node task for a rack to carry out now. ``attempt`` and ``revision`` go back with the result: a result whose
    attempt is not the newest is refused; one whose revision is not the newest is kept, and the task runs again."""

    id: int
    attempt: int
    revision: int
    deployment: str
    task: str
    scope: str
    """The node's, rack's or deployment's name."""
    address: str | None = None
    """The node's address, where it has one."""
    jig: str
    parameters: Any = None
    """The evaluated parameters of the task."""
    inputs: dict[str, Any] = {}
    """What the task reads, by alias."""
    writes: tuple[str, ...] = ()
    """Paths that the task may write on its own scope."""
    files: dict[str, str] = {}
    """Texts of the catalog that the parameters name, by path."""
    texts: dict[str, str] = {}
    """The same by their digests (see ``texts``)."""
    timeout: float
    """Seconds."""
    noop: bool = False
    """Only tell what would be done: nothing may have an effect."""


class ClaimRequest(msgspec.Struct, frozen=True, kw_only=True):
    """Ask for at most ``capacity`` node tasks, waiting at most ``wait`` seconds for the first. ``incarnation`` is new
    for every start of the rack's process: what an earlier one held comes back to the queue at once. ``seat`` is the
    same for all starts in one data folder (see ``seats``). It is a sign of life: ``process`` is what the rack's process
    tells of itself, as with a heartbeat."""

    incarnation: str
    capacity: int
    wait: float = 20.0
    seat: str = ""
    process: Beat | None = None
    knows: tuple[str, ...] | None = None
    """Digests of the texts that need not be sent; None: it does not know of digests."""
    waited: float = 0.0
    """Seconds for which it has waited already, as the api counts them: so old is this sign of life."""


class Claims(msgspec.Struct, frozen=True):
    """The answer: node tasks, possibly none. ``lease`` is how many seconds they are the rack's without a heartbeat."""

    items: list[Claim] = []
    lease: float = 30.0
    texts: dict[str, str] = {}
    """Texts that the claims name, by digest."""


class Result(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """How one attempt ended. ``facts`` maps path to value on the task's own scope; ``node_facts`` maps node name to
    path to value, for tasks that write per member node."""

    id: int
    attempt: int
    revision: int
    outcome: Literal["ok", "failed", "retryable", "skipped", "parked"]
    """``retryable``: the same may succeed later; ``skipped``: there was nothing to do; ``parked``: it goes on by itself
    and ends by an event (see ``until``)."""
    reason: str = ""
    """One or two sentences: what, where, how to mend it; empty when ok."""
    facts: dict[str, Any] = {}
    node_facts: dict[str, dict[str, Any]] = {}
    seconds: float = 0.0
    """How long the attempt took."""
    until: float = 0.0
    """For ``parked``: seconds after which it has failed."""
    until_fact: dict[str, Any] = {}
    """For ``parked``: facts of its own scope, by path, that end it well when all are there; null: with any value."""


class Results(msgspec.Struct, frozen=True):
    """A batch of results, in the order in which they happened. ``next`` asks for node tasks with the answer; they are
    not waited for."""

    incarnation: str
    items: list[Result]
    next: ClaimRequest | None = None


class Verdict(msgspec.Struct, frozen=True, gc=False):
    """What became of one result: taken; ``late``: a newer attempt exists, the result was refused."""

    id: int
    attempt: int
    taken: bool
    reason: str = ""


class Verdicts(msgspec.Struct, frozen=True):
    """One verdict per result. Once it is read the result is safe; until then the rack keeps and repeats it.
    ``next`` are the node tasks that the batch asked for, possibly none."""

    items: list[Verdict] = []
    next: Claims | None = None


class Heartbeat(msgspec.Struct, frozen=True):
    """The rack lives, still works on these (id, attempt) pairs, and keeps something running for the node tasks of the
    ids in ``keeping``. ``process`` is what the rack's process tells of itself."""

    incarnation: str
    working: list[tuple[int, int]] = []
    keeping: list[int] = []
    process: Beat | None = None


class HeartbeatAnswer(msgspec.Struct, frozen=True):
    """``cancel`` lists the (id, attempt) pairs that are no longer the rack's: it ends their processes. ``drop`` lists
    node tasks that are no more: it stops what it keeps for them. ``lost``: another process works for the rack now."""

    cancel: list[tuple[int, int]] = []
    drop: list[int] = []
    lost: bool = False


class LogChunk(msgspec.Struct, frozen=True, kw_only=True):
    """A piece of an attempt's log: the bytes (base64 in JSON) from ``offset`` on. Repeating a chunk changes nothing."""

    id: int
    attempt: int
    offset: int
    data: bytes
    last: bool = False


class LogChunks(msgspec.Struct, frozen=True):
    """A batch of pieces."""

    items: list[LogChunk]
