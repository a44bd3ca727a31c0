"""The life cycle of a machine: three axes, the verbs that move it along them, and the one word that people see.

A machine is a node with a row of its own here; a node without one is a plain node that people added. The axes:

- *allocation*: whose it is. new (found, not accepted) > free > reserved > allocated; retired at the end.
- *activity*: what is being done with it. A verb starts one; its phase is running, waiting (for the machine or for a
  person), held, or failed; idle without one.
- *health*: ok, degraded, broken, missing (not heard of), or unknown.

Beside them stand two facts that verbs leave behind: whether it has a system installed, and whether it is in rescue.
Nothing here does anything: each verb is checked, then gives the machine as it is afterwards.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from rackwright.core.errors import Conflict, NotFound

Allocation = Literal["new", "free", "reserved", "allocated", "retired"]
Phase = Literal["idle", "running", "waiting", "held", "failed"]
Health = Literal["ok", "degraded", "broken", "missing", "unknown"]
Outcome = Literal["", "ok", "failed", "aborted"]

ALLOCATIONS: tuple[Allocation, ...] = ("new", "free", "reserved", "allocated", "retired")
PHASES: tuple[Phase, ...] = ("idle", "running", "waiting", "held", "failed")
HEALTHS: tuple[Health, ...] = ("ok", "degraded", "broken", "missing", "unknown")
UNDER_WAY: tuple[Phase, ...] = ("running", "waiting", "held")
"""Phases in which nothing else can begin."""


class Machine(msgspec.Struct, frozen=True, kw_only=True):
    """Where one machine stands. Times are seconds since the epoch."""

    id: int
    """Of its node."""
    allocation: Allocation = "new"
    installed: bool = False
    """It has a system of its own on its disk."""
    rescue: bool = False
    """It boots the rescue system until it is let out."""
    verb: str = ""
    """Of its activity; empty: there is none."""
    activity: str = ""
    """Identity of its activity; it is also the request of the boot environment that the activity wants."""
    phase: Phase = "idle"
    health: Health = "unknown"
    reason: str = ""
    """Why it failed, or why it is not well."""
    since: float = 0.0
    """When the one word changed last."""
    last_seen: float | None = None
    """When its agent was heard of last."""
    beats: bool = False
    """Its agent beats, so that silence means something."""
    last_verb: str = ""
    last_outcome: Outcome = ""
    """How its last activity ended."""
    last_ended_at: float | None = None
    deployment: int | None = None
    """The deployment in which the node tasks of its activity are."""


class Verb(msgspec.Struct, frozen=True, kw_only=True):
    """What people can tell a machine to do: from where it may be said, and what it leaves behind."""

    name: str
    does: str
    """In one sentence."""
    doing: str = ""
    """The word while it goes on."""
    failed: str = ""
    """The word once it has failed."""
    graph: bool = True
    """It is an activity: the graph of this name is carried out. False: it is done at once."""
    allocations: tuple[Allocation, ...] = ("free", "reserved", "allocated")
    phases: tuple[Phase, ...] = ("idle", "failed")
    rescue: bool = False
    """It is for machines in rescue, and for no others."""
    installed: bool | None = None
    """It is for machines with (without) a system; None: for both."""
    plain: bool = False
    """It may be said to a plain node, which becomes a machine by it."""
    accepts: bool = False
    """A new machine is accepted on the way."""
    to: Allocation | None = None
    """Its allocation once the verb is through; None: as before."""
    leaves: bool | None = None
    """Whether it has a system once the verb is through; None: as before."""
    destroys: bool = False
    """What is on its disks is lost: it has no system from the beginning on."""
    reboots: bool = False
    """Its system goes down: nothing else is active on it from the beginning on."""
    alone: bool = False
    """It is for machines that no deployment of people holds."""
    proves: bool = False
    """Its health is ok after it, and broken if it fails."""
    forgets: tuple[str, ...] = ()
    """Facts of the node that are no longer true once it is through, with all below them."""


_OS = ("os", "observed.os", "observed.installed", "served")

VERBS: dict[str, Verb] = {
    verb.name: verb
    for verb in (
        Verb(
            name="accept", does="Take a new machine in; it gets an address of its rack.", graph=False,
            allocations=("new",), plain=True, to="free",
        ),
        Verb(
            name="commission", does="Boot the discovery system, take the inventory and check it.",
            doing="commissioning", failed="failed-commissioning", allocations=("new", "free", "reserved"),
            installed=False, accepts=True, reboots=True,
        ),
        Verb(
            name="test", does="Load processors, memory, disks and network for a while.", doing="testing",
            failed="failed-testing", allocations=("free", "reserved"), installed=False, reboots=True, proves=True,
        ),
        Verb(name="reserve", does="Keep it for somebody.", graph=False, allocations=("free",), to="reserved"),
        Verb(
            name="allocate", does="Give it to somebody.", graph=False, allocations=("free", "reserved"),
            installed=False, to="allocated", alone=True,
        ),
        Verb(
            name="deploy", does="Install the wanted system and boot it; what is on its disk is lost.",
            doing="deploying", failed="failed-deployment", to="allocated", leaves=True, destroys=True, reboots=True,
        ),
        Verb(
            name="release", does="Give it back and erase its disks.", doing="releasing", failed="failed-release",
            allocations=("reserved", "allocated"), to="free", leaves=False, destroys=True, reboots=True, forgets=_OS,
            alone=True,
        ),
        Verb(
            name="erase", does="Erase its disks.", doing="erasing", failed="failed-erase", leaves=False, destroys=True,
            reboots=True, forgets=_OS,
        ),
        Verb(
            name="rescue", does="Boot the rescue system; its disks are left alone.", doing="entering-rescue",
            failed="failed-rescue", allocations=("new", "free", "reserved", "allocated"), reboots=True,
        ),
        Verb(
            name="exit-rescue", does="Let it out of rescue: it boots as before.", doing="exiting-rescue",
            failed="failed-exit-rescue", allocations=("new", "free", "reserved", "allocated"), rescue=True,
            reboots=True,
        ),
        Verb(
            name="service", does="Give it into the hands of a person, until it is said to be done.", doing="in-service",
            failed="failed-service",
        ),
        Verb(
            name="power", does="Switch it.", doing="powering", failed="failed-power",
            allocations=("new", "free", "reserved", "allocated"),
        ),
        Verb(
            name="adopt", does="Take a machine in that has its system already; it is left as it is.", graph=False,
            allocations=("new", "free"), installed=False, plain=True, to="allocated", leaves=True,
        ),
        Verb(
            name="retire", does="Take it out of use.", graph=False, allocations=("new", "free"), installed=False,
            to="retired", alone=True,
        ),
        Verb(
            name="hold", does="Let nothing more of its activity begin; what runs ends.", graph=False,
            allocations=ALLOCATIONS, phases=("running", "waiting"),
        ),
        Verb(name="unhold", does="Let its activity go on.", graph=False, allocations=ALLOCATIONS, phases=("held",)),
        Verb(
            name="abort", does="End its activity; what runs is cancelled.", graph=False, allocations=ALLOCATIONS,
            phases=("running", "waiting", "held", "failed"),
        ),
        Verb(
            name="retry", does="Try again what has failed of its activity; agree to what waits for a person.",
            graph=False, allocations=ALLOCATIONS, phases=("running", "waiting", "failed"),
        ),
    )
}  # fmt: skip
"""All that people can say. A machine that nobody knows is enlisted by its rack: that is no verb of people."""

STEERING = ("hold", "unhold", "abort", "retry")
"""Verbs about the activity that there is. They are allowed in rescue too."""


def verb_named(name: str) -> Verb:
    """A verb by its name. Raises NotFound that lists the verbs."""
    if name not in VERBS:
        raise NotFound(f"there is no verb {name}", mend=f"verbs: {', '.join(VERBS)}")
    return VERBS[name]


def check(verb: Verb, machine: Machine | None, name: str) -> None:
    """Raise Conflict when the verb cannot be said to this machine now; ``machine`` None: to this plain node. The error
    says why, and which verbs are possible. ``name`` is what people call the machine."""
    why = _against(verb, machine)
    if why:
        verbs = ", ".join(possible(machine)) or "none"
        raise Conflict(f"{verb.name}: {why}", where=name, mend=f"possible now: {verbs}")


def can(verb: Verb, machine: Machine | None) -> bool:
    """Whether the verb can be said to this machine, or (None) to a plain node, now."""
    return not _against(verb, machine)


def possible(machine: Machine | None) -> list[str]:
    """The verbs that can be said to it now, in the order of the table."""
    return [verb.name for verb in VERBS.values() if can(verb, machine)]


def word(machine: Machine) -> str:
    """The one word that people see."""
    if machine.phase == "held":
        return "held"
    if machine.verb in VERBS and machine.phase != "idle":
        verb = VERBS[machine.verb]
        return verb.failed if machine.phase == "failed" else verb.doing
    if machine.allocation == "retired":
        return "retired"
    if machine.rescue:
        return "rescue"
    if machine.health in ("broken", "missing"):
        return machine.health
    if machine.allocation == "allocated":
        return "deployed" if machine.installed else "allocated"
    return "ready" if machine.allocation == "free" else machine.allocation


WORDS: tuple[str, ...] = (
    "new", "ready", "reserved", "allocated", "deployed", "rescue", "broken", "missing", "retired", "held",
    *(word for verb in VERBS.values() for word in (verb.doing, verb.failed) if word),
)  # fmt: skip
"""Every word that there is."""


def begin(verb: Verb, machine: Machine, *, activity: str, deployment: int, now: float) -> Machine:
    """The machine once an activity has begun. The verb has been checked."""
    allocation = "free" if verb.accepts and machine.allocation == "new" else machine.allocation
    return _changed(
        machine, now,
        allocation=allocation, verb=verb.name, activity=activity, deployment=deployment, phase="running", reason="",
        installed=machine.installed and not verb.destroys,
    )  # fmt: skip


def end(machine: Machine, now: float) -> Machine:
    """The machine once its activity is through."""
    verb = VERBS[machine.verb]
    done = _changed(
        machine, now,
        rescue=verb.name == "rescue" or (machine.rescue and verb.name != "exit-rescue"),
        health="ok" if verb.proves or machine.health == "missing" else machine.health,
    )  # fmt: skip
    return _settled(done, verb, "ok", now)


def fail(machine: Machine, reason: str, now: float) -> Machine:
    """The machine once something of its activity has failed for good."""
    health = "broken" if VERBS[machine.verb].proves else machine.health
    return _changed(machine, now, phase="failed", health=health, reason=reason)


def abort(machine: Machine, now: float) -> Machine:
    """The machine once its activity is given up: what the verb was for has not come true."""
    return _idle(machine, "aborted", now)


def at_home(machine: Machine, now: float) -> Machine:
    """The machine once a system has said that it runs from its disk, whoever has put it there. While its disks are
    erased this is old news."""
    verb = VERBS.get(machine.verb)
    erased = verb is not None and verb.destroys and verb.leaves is False and machine.phase != "idle"
    return machine if erased else _changed(machine, now, installed=True)


def set_phase(machine: Machine, phase: Phase, now: float) -> Machine:
    """The machine in another phase of its activity. Nothing is wrong with one that goes on."""
    return _changed(machine, now, phase=phase, reason=machine.reason if phase == "failed" else "")


def phase_after(name: str) -> Phase:
    """The phase that a verb about an activity leaves it in."""
    return "held" if name == "hold" else "running"


def at_once(verb: Verb, machine: Machine, now: float) -> Machine:
    """The machine after a verb that is no activity. What had failed before is given up by it."""
    given_up = _idle(machine, "aborted", now) if machine.verb else machine
    return _settled(given_up, verb, given_up.last_outcome, now)


def set_health(machine: Machine, health: Health, reason: str, now: float) -> Machine:
    """The machine with another health, and why."""
    return _changed(machine, now, health=health, reason=reason)


def needs_graph(verb: Verb, machine: Machine) -> bool:
    """Whether a verb is an activity for this machine: one that was only reserved is released at once, unless something
    that failed or was given up may have left a part of a system. What was given to somebody is always erased."""
    if verb.name == "release" and machine.allocation == "reserved":
        return machine.installed or machine.phase != "idle" or machine.last_outcome == "aborted"
    return verb.graph


def forgotten(verb: Verb, outcome: Outcome) -> tuple[str, ...]:
    """Facts of the node, with all below them, that are not true any more when an activity has ended like this. What was
    to be installed is forgotten when that is given up: it must not be booted into the installer again."""
    if outcome == "ok":
        return verb.forgets
    return ("os",) if outcome == "aborted" and verb.leaves else ()


def _against(verb: Verb, machine: Machine | None) -> str:
    """Why a verb cannot be said now; empty: it can."""
    if machine is None:
        return "" if verb.plain else "it is a plain node and no machine"
    if machine.phase not in verb.phases:
        return f"it is {word(machine)} now" if machine.phase in UNDER_WAY else "nothing of it has failed or goes on"
    if machine.allocation not in verb.allocations:
        return f"it is {machine.allocation}"
    if verb.name not in STEERING and machine.rescue is not verb.rescue and not _failed(verb, machine):
        return "it is in rescue" if machine.rescue else "it is not in rescue"
    if verb.installed is not None and machine.installed is not verb.installed:
        return "it has a system" if machine.installed else "it has no system"
    return ""


def _failed(verb: Verb, machine: Machine) -> bool:
    """Out of a rescue that has failed on the way in a machine is let out too."""
    return verb.rescue and machine.verb == "rescue" and machine.phase == "failed"


def _settled(machine: Machine, verb: Verb, outcome: Outcome, now: float) -> Machine:
    done = _changed(
        machine, now,
        allocation=verb.to or machine.allocation,
        installed=machine.installed if verb.leaves is None else verb.leaves,
    )  # fmt: skip
    return _idle(done, outcome, now) if done.verb else done


def _idle(machine: Machine, outcome: Outcome, now: float) -> Machine:
    return _changed(
        machine, now,
        verb="", activity="", deployment=None, phase="idle", reason="",
        last_verb=machine.verb, last_outcome=outcome, last_ended_at=now,
    )  # fmt: skip


def _changed(machine: Machine, now: float, **fields: object) -> Machine:
    after = msgspec.structs.replace(machine, **fields)
    return after if word(after) == word(machine) else msgspec.structs.replace(after, since=now)
