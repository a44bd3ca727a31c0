"""Who answers the chunks of a serialisation: this process, processes of this machine, or workers on many machines."""

from __future__ import annotations

import os
from collections.abc import Generator, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from rackwright.core.errors import InvalidInput
from rackwright.engine.serialization.answering import Answering
from rackwright.engine.serialization.dask.policy import Dask
from rackwright.engine.serialization.processes import Processes
from rackwright.engine.serialization.work import answer

POLICIES = ("auto", "serial", "processes", "dask")
SETTING = "serialization_policy"
"""The setting of a deployment that says who evaluates its graph; it has this name in Fuel, too."""
POLICIES_OF_FUEL = {"default": "auto", "distributed": "dask"}
"""What Fuel calls them."""


class Policy(Protocol):
    """Who answers chunks. The answers are the same bytes under every policy."""

    @property
    def name(self) -> str:
        """The policy's name: serial, processes or dask."""

    def answers(self, setup: bytes, chunks: Iterable[bytes]) -> Generator[bytes, None, None]:
        """Give the answer to each chunk, in order. Chunks are pulled lazily, by the thread that asks for answers. The
        iterator must be closed when it is not read to its end. Raises RackwrightError."""


@dataclass(frozen=True, kw_only=True)
class PolicySettings:
    """How serialisation is shared out.

    ``policy`` is auto, serial, processes or dask; auto takes serial below ``processes_from`` node tasks, and dask from
    ``dask_from`` on if there is a scheduler. ``processes`` is how many (0: one per processor). ``scheduler`` is its
    address ``tls://HOST:PORT``, ``certificates`` the folder with ``ca.pem``, ``client.pem`` and ``client.key``.
    ``load_coefficient`` is the most chunks in flight per worker, ``grace`` the seconds for which there may be no
    worker to use. The rest says on nodes of which status workers are used.
    """

    policy: str = "auto"
    processes: int = 0
    processes_from: int = 20_000
    dask_from: int = 200_000
    scheduler: str = ""
    certificates: Path = Path("dask")
    load_coefficient: int = 2
    grace: float = 10.0
    use_ready: bool = False
    use_provisioned: bool = True
    use_discovered: bool = True
    use_error: bool = True


BY_SIZE = PolicySettings()
"""Who does the work is decided by how much there is."""


class Serial:
    """Answers one chunk after the other, in this process."""

    name = "serial"

    def __init__(self, answering: Answering | None = None) -> None:
        self._answering = answering or answer

    def answers(self, setup: bytes, chunks: Iterable[bytes]) -> Generator[bytes, None, None]:
        """Give the answer to each chunk, in order."""
        return (self._answering(setup, chunk) for chunk in chunks)


def choose(instances: int, settings: PolicySettings) -> Policy:
    """Give the policy for that many node tasks. Raises InvalidInput for settings that make no sense."""
    check(settings)
    processes = settings.processes or os.cpu_count() or 1
    name = settings.policy
    if name == "auto":
        name = _by_size(instances, processes, settings)
    if name == "serial":
        return Serial()
    if name == "processes":
        return Processes(processes, settings.load_coefficient)
    return Dask(settings)


def check(settings: PolicySettings) -> None:
    """Refuse settings that make no sense. Raises InvalidInput."""
    where = "[serialization]"
    if settings.policy not in POLICIES:
        raise InvalidInput(f"there is no policy {settings.policy!r}", where=where, mend=f"one of {', '.join(POLICIES)}")
    if settings.policy == "dask" and not settings.scheduler:
        raise InvalidInput(
            "the policy dask needs a scheduler",
            where=where,
            mend='write scheduler = "tls://HOST:PORT", or start one by `rackwright up --dask`',
        )
    if settings.load_coefficient < 1 or settings.processes < 0 or settings.grace < 0:
        raise InvalidInput("load_coefficient must be 1 or more, processes and grace not negative", where=where)


def asked(settings: PolicySettings, said: str | None) -> PolicySettings:
    """Give the settings with the policy that a deployment asks for (None: it asks for none), by our name or Fuel's.
    Raises InvalidInput for a policy that is not known."""
    if said is None:
        return settings
    found = replace(settings, policy=POLICIES_OF_FUEL.get(said, said))
    check(found)
    return found


def _by_size(instances: int, processes: int, settings: PolicySettings) -> str:
    if settings.scheduler and instances >= settings.dask_from:
        return "dask"
    return "processes" if processes > 1 and instances >= settings.processes_from else "serial"
