"""How long things take on simulated machines, and how often they go wrong: drawn by seed, and never by the clock.

A draw follows from the seed, the machine, the step, and how often this machine has done that step before. So the same
seed gives the same machines the same fates, in whatever order they get there.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from typing import Literal

import msgspec

from rackwright.core.errors import InvalidInput

Outcome = Literal["ok", "failed", "retryable"]
Ending = Outcome | Literal["silent"]
"""How a step ends; ``silent``: it never does."""

STEPS = (
    "firmware", "dhcp", "fetch", "start", "power", "inventory", "write-image", "erase", "burnin", "bmc", "reboot",
    "poweroff", "script", "verify",
)  # fmt: skip
"""All that a machine does: from power until it asks what to boot, a question for an address (one that ends badly is
lost on the wire), the kernel or ramdisk that it fetches, from there until its system speaks, a command to its BMC, and
the actions of its agent."""

_FULL = 1 << 64


class Delay(msgspec.Struct, frozen=True):
    """Seconds: always ``low``; evenly between ``low`` and ``high``; or exponential with the mean ``low``."""

    kind: Literal["fixed", "even", "exponential"] = "fixed"
    low: float = 0.0
    high: float = 0.0

    def seconds(self, draw: float) -> float:
        """For a draw from 0 up to 1."""
        if self.kind == "even":
            return self.low + (self.high - self.low) * draw
        return -self.low * math.log(1.0 - draw) if self.kind == "exponential" else self.low


class Chance(msgspec.Struct, frozen=True, kw_only=True):
    """One step: how long it takes, and with which shares (0 to 1) it ends badly."""

    delay: Delay = Delay()
    failed: float = 0.0
    retryable: float = 0.0
    silent: float = 0.0


class Fate(msgspec.Struct, frozen=True):
    """What becomes of one step."""

    seconds: float
    ending: Ending


USUAL: dict[str, Chance] = {
    "firmware": Chance(delay=Delay("even", 1.0, 3.0)),
    "start": Chance(delay=Delay("even", 1.0, 2.0)),
    "write-image": Chance(delay=Delay("even", 2.0, 6.0)),
    "erase": Chance(delay=Delay("even", 1.0, 2.0)),
    "burnin": Chance(delay=Delay("fixed", 5.0)),
}
"""Delays of which everything can still be watched: a tenth of a real machine's, or less. Nothing goes wrong."""


class Chances:
    """The fates of a fleet."""

    def __init__(self, seed: int, steps: Mapping[str, Chance]) -> None:
        self.seed = seed
        self._steps = dict(steps)

    def fate(self, machine: int, step: str, count: int) -> Fate:
        """What becomes of a step that this machine has done ``count`` times before."""
        chance = self._steps.get(step)
        if chance is None:
            return _AT_ONCE
        word = f"{self.seed}/{machine}/{step}/{count}".encode()
        drawn = hashlib.blake2b(word, digest_size=16).digest()
        late = int.from_bytes(drawn[:8], "big") / _FULL
        luck = int.from_bytes(drawn[8:], "big") / _FULL
        return Fate(chance.delay.seconds(late), _ending(chance, luck))


def read(words: Sequence[str], usual: Mapping[str, Chance]) -> dict[str, Chance]:
    """Chances as people write them, over the ``usual`` ones: ``write-image=2-6,failed=0.01,retryable=0.02``. A delay is
    ``3`` (seconds), ``1-3`` (evenly between), or ``~5`` (exponential, with this mean). Raises InvalidInput."""
    read: dict[str, Chance] = dict(usual)
    for word in words:
        step, equals, rest = word.partition("=")
        if step not in STEPS or not equals:
            raise InvalidInput(f"{word!r} names no step", where="--step", mend=f"steps: {', '.join(STEPS)}")
        read[step] = _chance(word, rest.split(","))
    return read


def _chance(word: str, parts: Sequence[str]) -> Chance:
    delay, shares = Delay(), {"failed": 0.0, "retryable": 0.0, "silent": 0.0}
    try:
        for part in parts:
            name, equals, value = part.strip().partition("=")
            if not equals:
                delay = _delay(name)
            elif name in shares and 0.0 <= float(value) <= 1.0:
                shares[name] = float(value)
            else:
                raise ValueError
        if sum(shares.values()) > 1.0:
            raise ValueError
    except ValueError:
        mend = "write as write-image=2-6,failed=0.01,retryable=0.02,silent=0.001"
        raise InvalidInput(f"{word!r} is no chance", where="--step", mend=mend) from None
    return Chance(delay=delay, **shares)


def _delay(text: str) -> Delay:
    if text.startswith("~"):
        return Delay("exponential", _seconds(text[1:]))
    low, between, high = text.partition("-")
    if not between:
        return Delay("fixed", _seconds(low))
    if _seconds(high) < _seconds(low):
        raise ValueError
    return Delay("even", _seconds(low), _seconds(high))


def _seconds(text: str) -> float:
    value = float(text)
    if not 0.0 <= value < math.inf:
        raise ValueError
    return value


def _ending(chance: Chance, luck: float) -> Ending:
    if luck < chance.failed:
        return "failed"
    if luck < chance.failed + chance.retryable:
        return "retryable"
    return "silent" if luck < chance.failed + chance.retryable + chance.silent else "ok"


_AT_ONCE = Fate(0.0, "ok")
