"""``rackwright rack run``: the process beside the machines."""

from __future__ import annotations

import asyncio
import os
import resource
import signal
import sys
from contextlib import AsyncExitStack
from importlib.metadata import entry_points
from typing import Any

import click
import structlog
from msgspec import structs

from rackwright.commands.logging_setup import configure_logging
from rackwright.commands.machines import MachinesSetting, machine_side
from rackwright.commands.master import living
from rackwright.commands.notices import Notices
from rackwright.core.errors import InvalidInput, NotAllowed, RackwrightError
from rackwright.core.jig import Jig
from rackwright.core.services import Beat
from rackwright.engine.presence import Pulse, this_process
from rackwright.engine.telemetry import Telemetry
from rackwright.rack.dhcp.kea import ROWS_FROM
from rackwright.rack.rack import RackSetting, run_rack, seat_mark
from rackwright.rack.seat import Seat

exit_error, exit_refused = 1, 5

most_files = 65536
"""More would slow down programs that close every file they could have."""

log = structlog.get_logger()


@click.command()
@click.option("--name", required=True, envvar="RACKWRIGHT_RACK", help="The rack's name, as the api knows it.")
@click.option("--api", required=True, envvar="RACKWRIGHT_SERVER", help="URL of the api, like http://127.0.0.1:8460.")
@click.option(
    "--token-file", envvar="RACKWRIGHT_TOKEN_FILE", type=click.Path(dir_okay=False),
    help="File with the rack's token; else the environment variable RACKWRIGHT_TOKEN is used.",
)  # fmt: skip
@click.option(
    "--data", required=True, envvar="RACKWRIGHT_RACK_DATA", type=click.Path(file_okay=False, resolve_path=True),
    help="Folder for this rack alone: results and logs not yet sent, state of tasks and services.",
)  # fmt: skip
@click.option(
    "--capacity", default=32, show_default=True, envvar="RACKWRIGHT_RACK_CAPACITY", type=click.IntRange(min=1),
    help="How many node tasks it carries out at once.",
)  # fmt: skip
@click.option(
    "--drain", default=10.0, show_default=True, envvar="RACKWRIGHT_RACK_DRAIN", type=click.FloatRange(min=0),
    help="Seconds that running tasks may take when the rack is to stop.",
)  # fmt: skip
@click.option(
    "--machines/--no-machines", default=False, envvar="RACKWRIGHT_RACK_MACHINES",
    help="Serve machines too: DHCP, boot over the network, images, power.",
)  # fmt: skip
@click.option(
    "--dhcp", default="kea", show_default=True, envvar="RACKWRIGHT_RACK_DHCP",
    type=click.Choice(["kea", "dnsmasq", "none"]), help="What answers DHCP; none: something else does.",
)  # fmt: skip
@click.option(
    "--dhcp-rows", default=ROWS_FROM, show_default=True, envvar="RACKWRIGHT_RACK_DHCP_ROWS", type=click.IntRange(min=0),
    help="From so many machines on Kea has them in a database of the rack's own: a change costs what has changed.",
)  # fmt: skip
@click.option(
    "--dns/--no-dns", default=True, show_default=True, envvar="RACKWRIGHT_RACK_DNS",
    help="Answer DNS for the domains of the rack's networks.",
)  # fmt: skip
@click.option(
    "--tftp/--no-tftp", default=True, show_default=True, envvar="RACKWRIGHT_RACK_TFTP",
    help="Give the first boot stage by TFTP.",
)  # fmt: skip
@click.option(
    "--carry-addresses/--no-carry-addresses", default=False, show_default=True,
    envvar="RACKWRIGHT_RACK_CARRY_ADDRESSES",
    help="Have the rack's addresses on this host while this process works for it: for a rack on several hosts.",
)  # fmt: skip
@click.option(
    "--door-host", default="", envvar="RACKWRIGHT_RACK_DOOR_HOST",
    help="Where machines reach the rack by HTTP.  [default: every IPv4 address]",
)  # fmt: skip
@click.option(
    "--door-port", default=8480, show_default=True, envvar="RACKWRIGHT_RACK_DOOR_PORT", type=click.IntRange(0, 65535),
    help="Its port.",
)  # fmt: skip
@click.option(
    "--image-cache", default=50, show_default=True, envvar="RACKWRIGHT_RACK_IMAGE_CACHE", type=click.IntRange(min=1),
    help="GiB of images that it keeps.",
)  # fmt: skip
def rack(**given: Any) -> None:
    """Carry out the node tasks of one rack.

    SIGTERM or Ctrl-C ends it in order: it claims no more, waits for what runs, stops its services and exits with 0. A
    second one ends it at once. It exits with 5 when the api refuses its token.
    """
    configure_logging("rack")
    raise_file_limit()
    structlog.contextvars.bind_contextvars(rack=given["name"])
    try:
        token = read_token(given["token_file"])
        own = ("name", "api", "data", "capacity", "drain")
        setting = RackSetting(token=token, **{field: given[field] for field in own})
        asyncio.run(_serve(setting, _machines(given)))
    except NotAllowed as error:
        log.error(str(error))
        sys.exit(exit_refused)
    except (RackwrightError, OSError) as error:
        log.error(str(error))
        sys.exit(exit_error)
    except Exception:
        log.exception("the rack broke")
        sys.exit(exit_error)


def _machines(given: dict[str, Any]) -> MachinesSetting | None:
    """How machines are served; None: they are not."""
    if not given["machines"]:
        return None
    fields = ("dhcp", "dhcp_rows", "dns", "tftp", "carry_addresses", "door_host", "door_port", "image_cache")
    return MachinesSetting(**{field: given[field] for field in fields})


async def _serve(setting: RackSetting, machines: MachinesSetting | None) -> None:
    stop, at_once = asyncio.Event(), asyncio.Event()

    def asked_to_stop() -> None:
        (at_once if stop.is_set() else stop).set()

    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, asked_to_stop)
    telemetry, notices = Telemetry(), Notices.found(os.environ)
    seat = Seat(seat_mark(setting.data))
    pulse = Pulse(this_process("rack", setting.name), telemetry)

    def beat() -> Beat:
        pulse.state = "draining" if stop.is_set() else "running"
        return structs.replace(pulse.beat(), sample=b"[]")

    async with living(notices), telemetry.watched():
        jigs = find_jigs(setting.data)
        async with AsyncExitStack() as stack:
            if machines is not None:
                jigs |= await stack.enter_async_context(machine_side(setting, machines, seat))
            notices.ready("carries out node tasks")
            await run_rack(setting, jigs, stop, at_once, beat, seat)


def find_jigs(data: str) -> dict[str, Jig]:
    """Every installed jig by its name, each with a folder of its own below ``data``. One that cannot be loaded is left
    out, and the log says why; tasks that need it then fail with a clear reason."""
    jigs: dict[str, Jig] = {}
    for point in entry_points(group="rackwright.jig"):
        folder = os.path.join(data, "jigs", point.name)
        os.makedirs(folder, mode=0o700, exist_ok=True)
        try:
            jigs[point.name] = point.load()(folder)
        except Exception as error:
            log.exception("jig cannot be loaded", jig=point.name, source=point.value, reason=str(error))
    return jigs


def raise_file_limit() -> None:
    """Allow more open files: every process that runs takes up to three."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard if 0 <= hard < most_files else most_files, hard))


def read_token(path: str | None) -> str:
    """The rack's token from the file, or from RACKWRIGHT_TOKEN; raises ``InvalidInput`` when there is none."""
    token = os.environ.get("RACKWRIGHT_TOKEN", "")
    if path is not None:
        with open(path, encoding="utf-8") as file:
            token = file.read()
    token = token.strip()
    if not token or not token.isascii() or not token.isprintable():
        where = path or "RACKWRIGHT_TOKEN"
        raise InvalidInput("there is no token, or it is damaged", where=where, mend="give --token-file FILE")
    return token
