"""Where ``rackwright load run`` takes its load from: this host, or agents on many."""

from __future__ import annotations

import contextlib
import functools
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any, NamedTuple, TypeVar, cast

import click

from rackwright.cli.output import say
from rackwright.cli.settings import data_folder
from rackwright.load.distributed.fleet import Fleet
from rackwright.load.distributed.fleet_load import OnLoss
from rackwright.load.distributed.keys import CONTROLLER, ControllerKeys, read
from rackwright.load.generators import Generators
from rackwright.load.local import LocalGenerators

BIND = "tcp://0.0.0.0:8430"


class Source(NamedTuple):
    """Where load comes from."""

    generators: Generators
    bring_rows: Callable[[], Awaitable[dict[str, str]]]
    """Brings raw rows that are kept elsewhere, if that was asked for; gives why they did not come, by the agent."""


Open = Callable[[Path], contextlib.AbstractAsyncContextManager[Source]]
"""Opens where load comes from, for the run in a folder."""
F = TypeVar("F", bound=Callable[..., Any])


def keys_folder() -> Path:
    """Where keys are kept unless another place is named."""
    return data_folder(os.environ) / "load-keys"


async def _nothing() -> dict[str, str]:
    return {}


def generators_options(function: F) -> F:
    """The command takes load from somewhere: it gets ``generators``, which opens that place for a run's folder."""

    @click.option(
        "--processes", type=click.IntRange(min=1), help="Load processes here at most.  [default: one for each core]"
    )
    @click.option("--agents", type=click.IntRange(min=1), help="Take the load from so many agents, not from this host.")
    @click.option("--hosts", default="", metavar="NAME,...", help="Take it from the agents of these names alone.")
    @click.option("--bind", default=BIND, show_default=True, help="Where agents come to; two more ports follow it.")
    @click.option(
        "--keys", type=click.Path(dir_okay=False, path_type=Path), help="The controller's keys; see `load keys`."
    )
    @click.option("--agents-wait", type=click.FloatRange(min=0), default=60.0, help="Seconds that agents have to come.")
    @click.option(
        "--on-agent-loss",
        type=click.Choice(["resplit", "fail"]),
        default="resplit",
        show_default=True,
        help="Divide the share of a lost agent among the others, or fail the workload.",
    )
    @click.option("--pull-rows", is_flag=True, help="Bring the raw rows of all agents into the run's folder.")
    @functools.wraps(function)
    def run(
        *args: Any,
        processes: int | None,
        agents: int | None,
        hosts: str,
        bind: str,
        keys: Path | None,
        agents_wait: float,
        on_agent_loss: OnLoss,
        pull_rows: bool,
        **options: Any,
    ) -> Any:
        names = [name.strip() for name in hosts.split(",") if name.strip()]
        if names and agents:
            raise click.UsageError("--agents and --hosts exclude each other: name all agents, or say how many")

        @contextlib.asynccontextmanager
        async def generators(folder: Path) -> AsyncIterator[Source]:
            if not agents and not names:
                yield Source(LocalGenerators(processes or len(os.sched_getaffinity(0))), _nothing)
                return
            found = read(keys or keys_folder() / CONTROLLER, ControllerKeys)
            async with Fleet(found, bind=bind, folder=folder, names=names, on_loss=on_agent_loss, say=say) as fleet:
                say(f"agents are awaited at {fleet.address}")
                await fleet.gather(agents or 0, wait=agents_wait)
                yield Source(fleet, fleet.pull_rows if pull_rows else _nothing)

        return function(*args, generators=generators, **options)

    return cast(F, run)
