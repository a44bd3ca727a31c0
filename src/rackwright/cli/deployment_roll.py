"""How a deployment rolls: pause, abort, window, limit, waves, noop."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from rackwright.cli.client import Client
from rackwright.cli.examples import examples
from rackwright.cli.following import Seconds
from rackwright.cli.many import each
from rackwright.cli.options import consent, operator
from rackwright.cli.output import Item, say


class Amount(click.ParamType[int | None]):
    """A number from 0 up, or ``none``."""

    name = "amount"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> int | None:
        """The number; None for ``none``."""
        text = str(value)
        if text == "none":
            return None
        if not text.isdecimal():
            self.fail(f"{text!r} is no number from 0 up; write none to lift the limit", param, ctx)
        return int(text)


@examples(
    "rackwright deployment pause web --for 2h",
)
@click.command()
@click.argument("names", nargs=-1, required=True)
@click.option("--for", "seconds", type=Seconds(), required=True, help="How long: 90s, 30m, 2h. `resume` ends it.")
@operator
def pause(client: Client, *, names: tuple[str, ...], seconds: float) -> None:
    """Begin nothing for a time; what runs ends. A `stop` has no end."""
    each(names, lambda name: client.post(f"/deployments/{name}/pause", {"seconds": seconds}), "paused")


@click.command()
@click.argument("names", nargs=-1, required=True)
@consent
@operator
def abort(client: Client, *, names: tuple[str, ...], agree: Callable[[str], None]) -> None:
    """End what runs now, and let it and all that was to run wait for `commit`."""
    agree(f"End what runs in {', '.join(names)}?")
    each(names, lambda name: client.post(f"/deployments/{name}/abort", {}), "aborted")


@examples(
    "rackwright deployment window web 'Mon-Fri 22:00-06:00' 'Sat,Sun 00:00-24:00' --zone Europe/Berlin",
    "rackwright deployment window web --none",
)
@click.command()
@click.argument("name")
@click.argument("windows", nargs=-1)
@click.option("--zone", default="UTC", show_default=True, help="The time zone of the hours.")
@click.option("--none", "none_", is_flag=True, help="Work may begin at any time.")
@operator
def window(client: Client, *, name: str, windows: tuple[str, ...], zone: str, none_: bool) -> None:
    """Let work begin in these windows only; what runs when one closes ends."""
    if bool(windows) is none_:
        raise click.UsageError("name at least one window, or --none")
    _tell(client.put(f"/deployments/{name}/windows", {"windows": list(windows), "time_zone": zone}))


@examples(
    "rackwright deployment limit web 50",
    "rackwright deployment limit web none",
)
@click.command()
@click.argument("name")
@click.argument("amount", type=Amount())
@operator
def limit(client: Client, *, name: str, amount: int | None) -> None:
    """Let at most so many of its node tasks run at the same time."""
    client.put("/limits", {"deployment": name, "amount": amount})
    say(f"{name}: {'no limit' if amount is None else f'at most {amount} at the same time'}")


@examples(
    "rackwright deployment waves web --canary n1 --steps 10%,50% --tolerance 2 --pause 10m",
    "rackwright deployment waves web --promote",
)
@click.command()
@click.argument("name")
@click.option("--steps", help="Nodes that may work, in all: numbers or percentages, like 1,10%,50%; then all.")
@click.option("--canary", help="Nodes that come first: n1,n2.")
@click.option("--tolerance", metavar="N|N%", help="So many of a wave may fail; one more halts it. Default: 0.")
@click.option("--pause", type=Seconds(), help="Wait so long between waves.")
@click.option("--manual", is_flag=True, help="Each wave waits for --promote.")
@click.option("--promote", is_flag=True, help="Let the next wave begin.")
@click.option("--forgive", is_flag=True, help="Let a halted wave go on as it is.")
@click.option("--none", "none_", is_flag=True, help="Go over all nodes at once.")
@operator
def waves(client: Client, *, name: str, promote: bool, forgive: bool, none_: bool, **rule: Any) -> None:
    """Go over some nodes first, and over more only if these are well."""
    given = {key: value for key, value in rule.items() if value}
    if bool(given) + promote + forgive + none_ != 1:
        raise click.UsageError("say how to go (--steps, --canary, ...), or --promote, --forgive or --none")
    if none_:
        client.delete(f"/deployments/{name}/waves")
        say(f"{name}: all nodes at once")
    elif promote or forgive:
        _tell(client.post(f"/deployments/{name}/waves/{'promote' if promote else 'forgive'}", {}))
    else:
        lists = {key: given[key].split(",") for key in ("steps", "canary") if key in given}
        if "steps" not in lists and "canary" in lists:
            lists["steps"] = []
        _tell(client.put(f"/deployments/{name}/waves", {**given, **lists}))


@click.command()
@click.argument("name")
@click.argument("state", type=click.Choice(["on", "off"]))
@operator
def noop(client: Client, *, name: str, state: str) -> None:
    """Only rehearse: node tasks tell what they would do, change nothing, and wait for `commit`."""
    client.put(f"/deployments/{name}/noop", {"noop": state == "on"})
    say(f"{name}: {'rehearses' if state == 'on' else 'carries out again; commit what was rehearsed'}")


def _tell(found: Item) -> None:
    """How the deployment is steered now."""
    steering = found["steering"] or {}
    words = [f"held: {steering['held']}"] if steering.get("held") else []
    words += [steering["waves"]] if steering.get("waves") else []
    say(f"{found['name']}: {'; '.join(words) or 'not held'}")
