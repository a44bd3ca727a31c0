"""``rackwright load-agent`` and ``rackwright load keys``: load from many hosts."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path

import click
import structlog

from rackwright.cli.examples import examples
from rackwright.cli.options import output
from rackwright.cli.output import Output, say
from rackwright.cli.settings import data_folder
from rackwright.commands.load_fleet import keys_folder
from rackwright.commands.logging_setup import configure_logging
from rackwright.load.distributed.agent import Agent
from rackwright.load.distributed.keys import AGENT, AgentKeys, make, read

log = structlog.get_logger()


@examples(
    "rackwright load-agent --controller tcp://10.0.0.5:8430 --keys agent.key",
    "rackwright load-agent --controller tcp://10.0.0.5:8430 --once       end after one run",
)
@click.command("load-agent")
@click.option("--controller", required=True, metavar="tcp://HOST:PORT", help="Where `load run --agents` listens.")
@click.option(
    "--keys", type=click.Path(dir_okay=False, path_type=Path), help="The agent's keys.  [default: those of `load keys`]"
)
@click.option("--name", default="", help="Its name in reports.  [default: the host's]")
@click.option("--processes", type=click.IntRange(min=1), help="Load processes at most.  [default: one for each core]")
@click.option("--once", is_flag=True, help="End after the first run.")
@click.option("--data", type=click.Path(file_okay=False, path_type=Path), help="Where scenarios and raw rows are kept.")
def load_agent(
    controller: str, keys: Path | None, name: str, processes: int | None, once: bool, data: Path | None
) -> None:
    """Generate load for a controller: wait for its run, carry out a share, wait for the next one.

    It keeps the raw rows of the last run. It ends with 5 when the controller does not let it in.
    """
    configure_logging("load-agent")
    asyncio.run(
        _serve(
            read(keys or keys_folder() / AGENT, AgentKeys),
            controller,
            name=name,
            processes=processes or len(os.sched_getaffinity(0)),
            once=once,
            folder=data or data_folder(os.environ) / "load-agent",
        )
    )


async def _serve(keys: AgentKeys, controller: str, *, name: str, processes: int, once: bool, folder: Path) -> None:
    agent = Agent(keys, controller, name=name, processes=processes, once=once, folder=folder, say=log.info)
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, agent.stop)
    await agent.serve()


@click.command("keys")
@click.argument("folder", required=False, type=click.Path(file_okay=False, path_type=Path))
@output
def keys(folder: Path | None, output: Output) -> None:
    """Make keys for a controller and its agents: two files in FOLDER, for their owner alone.

    The agents' file goes to every host that shall generate load. Without FOLDER they go where both look for them.
    """
    controller, agent = make(folder or keys_folder())

    def people() -> None:
        say(f"{controller}: stays here\n{agent}: goes to the agents")

    output.item({"controller": str(controller), "agent": str(agent)}, people, str(agent))
