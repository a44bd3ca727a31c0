"""A small interpreter of the table of core/annealing that keeps no counters and shares no code with it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import NamedTuple

WANTED = "wanted"
"""Stands for todo and blocked: which of the two it is follows from the parents."""
STATES = ("proposed", "blocked", "todo", "transition", "active", "error")
GOES_ON = ("todo", "blocked")
LEGAL: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "propose": {state: ("proposed",) for state in STATES if state != "transition"},
    "commit": {"proposed": GOES_ON},
    "retry": dict.fromkeys(("error", "active", "blocked"), GOES_ON) | {"blocked": ("blocked",)},
    "claim": {"todo": ("transition",)},
    "finish well": {"transition": ("active",)},
    "finish badly": {"transition": ("error",)},
    "finish badly, tries left": {"transition": GOES_ON},
    "finish badly, tolerated": {"transition": ("active",)},
    "finish on old inputs": {"transition": (*GOES_ON, "proposed")},
    "finish on a dead node": {"transition": GOES_ON},
    "finish a rehearsal": {"transition": ("proposed",)},
    "park": {"transition": ("transition",)},
    "lose": {"transition": GOES_ON},
    "change": {
        "proposed": ("proposed",), "blocked": ("blocked",), "todo": ("todo",), "transition": ("transition",),
        "active": (*GOES_ON, "proposed"), "error": GOES_ON,
    },
    "change nothing": {state: (state,) for state in STATES if state != "error"} | {"error": GOES_ON},
    "deactivate": {"blocked": ("blocked",), "todo": ("todo",), "transition": GOES_ON, "active": GOES_ON,
                   "error": GOES_ON},
    "(deactivate what is parked)": {"transition": ("transition",)},
    "(a parent goes active)": {"blocked": ("todo",)},
    "(a parent leaves active)": {"todo": ("blocked",)},
    "(an error above)": {"active": ("blocked",), "todo": ("blocked",), "error": ("blocked",)},
}  # fmt: skip
"""By verb and state, where it may lead. Words in brackets: what a move of another one does."""

Cell = tuple[str, str, str]


def cells() -> set[Cell]:
    """Every legal (verb, from, to)."""
    return {(verb, was, to) for verb, froms in LEGAL.items() for was, tos in froms.items() for to in tos}


def refusals() -> set[tuple[str, str]]:
    """Every (verb, state) that has to be refused."""
    own = [verb for verb in LEGAL if not verb.startswith("(")]
    return {(verb, state) for verb in own for state in STATES if state not in LEGAL[verb]}


def drawn(seen: Counter[Cell], refused: Counter[tuple[str, str]]) -> str:
    """The table with how often each cell was visited: a dash where nothing may happen, ``x`` where it is refused."""
    lines = [f"{'verb':26}" + "".join(f"{state:>24}" for state in STATES)]
    for verb, froms in LEGAL.items():
        line = f"{verb:26}"
        for state in STATES:
            told = " ".join(f"{to[:6]}:{seen[verb, state, to]}" for to in froms.get(state, ()))
            line += f"{told or (f'x:{refused[verb, state]}' if not verb.startswith('(') else '-'):>24}"
        lines.append(line)
    return "\n".join(lines)


class Nature(NamedTuple):
    """What the rules ask of a task."""

    destructive: bool
    attempts: int
    fail_on_error: bool


class Reference:
    """What the table says, read slowly: a state by name, parents by name, and everything else worked out anew."""

    def __init__(self, parents: dict[str, set[str]], natures: dict[str, Nature]) -> None:
        self.parents = parents
        self.natures = natures
        self.state = dict.fromkeys(parents, "proposed")
        self.version = dict.fromkeys(parents, 0)
        self.claimed = dict.fromkeys(parents, -1)
        self.stale = dict.fromkeys(parents, False)
        self.tries = dict.fromkeys(parents, 0)
        self.parked: set[str] = set()
        self.rehearsed: set[str] = set()

    def word(self, name: str) -> str:
        """The state as people read it."""
        if self.state[name] != WANTED:
            return self.state[name]
        return "todo" if all(self.state[parent] == "active" for parent in self.parents[name]) else "blocked"

    def words(self) -> dict[str, str]:
        """All of them."""
        return {name: self.word(name) for name in self.parents}

    def below(self, name: str) -> set[str]:
        """All descendants."""
        found: set[str] = set()
        queue = [name]
        while queue:
            at = queue.pop()
            for child, parents in self.parents.items():
                if at in parents and child not in found:
                    found.add(child)
                    queue.append(child)
        return found - {name}

    def want(self, name: str) -> None:
        """It is to run, with all its tries."""
        self.state[name] = WANTED
        self.tries[name] = 0

    def claim(self, name: str, noop: bool) -> None:
        """It runs, or is rehearsed, on what is there now."""
        self.parked.discard(name)
        self.rehearsed.discard(name)
        if noop:
            self.rehearsed.add(name)
        self.state[name] = "transition"
        self.claimed[name] = self.version[name]
        self.stale[name] = False

    def kind(self, name: str, good: bool, alive: bool) -> str:
        """Which of the ends of an attempt this is."""
        nature = self.natures[name]
        if name in self.rehearsed:
            return "finish a rehearsal"
        if self.stale[name]:
            return "finish on old inputs"
        if not alive:
            return "finish on a dead node"
        if good:
            return "finish well"
        if self.tries[name] + 1 < nature.attempts:
            return "finish badly, tries left"
        return "finish badly" if nature.fail_on_error else "finish badly, tolerated"

    def finish(self, name: str, good: bool, alive: bool) -> None:
        """An attempt ends."""
        kind = self.kind(name, good, alive)
        if kind == "finish a rehearsal" or (kind == "finish on old inputs" and good and self.natures[name].destructive):
            self.state[name] = "proposed"
        elif kind in ("finish on old inputs", "finish on a dead node"):
            self.want(name)
        elif kind == "finish badly, tries left":
            tries = self.tries[name]
            self.want(name)
            self.tries[name] = tries + 1
        elif kind == "finish badly":
            self.state[name] = "error"
            for child in self.below(name):
                if self.state[child] not in ("proposed", "transition", WANTED):
                    self.want(child)
        else:
            self.state[name] = "active"
            self.tries[name] = 0

    def change(self, name: str, really: bool) -> None:
        """What it reads is told to have changed, and has, or has not."""
        self.version[name] += really
        state = self.state[name]
        if state == "transition":
            self.stale[name] = self.stale[name] or really
            return
        self.tries[name] = 0
        if state == "error":
            self.want(name)
        elif state == "active" and really:
            self.state[name] = "proposed" if self.natures[name].destructive else WANTED
