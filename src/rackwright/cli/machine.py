"""``rackwright node VERB``: what people say to machines, many at a time, and the wait until it is done."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Sequence
from typing import Any

import click

from rackwright.cli import campaign_options, exits
from rackwright.cli.campaign_wait import wait_for_turns
from rackwright.cli.client import Client
from rackwright.cli.examples import examples
from rackwright.cli.following import Seconds
from rackwright.cli.kinds import ANSWER
from rackwright.cli.node import json_or_text, split_pair
from rackwright.cli.options import operator, output
from rackwright.cli.outlook import show_outlook
from rackwright.cli.output import Item, Output, say
from rackwright.cli.patience import patiently
from rackwright.cli.whom import said, told, whom
from rackwright.core.lifecycle import VERBS, Verb

_PAUSE = 1.0
"""Seconds between two looks."""
_AT_ONCE = 500
"""Machines in one look."""


def _command(name: str) -> click.Command:
    """The command of a verb."""
    verb = VERBS[name]

    @examples(f"rackwright node {name} n1 n2" + (" --yes" if verb.destroys else ""))
    @click.command(name=name, help=verb.does)
    @whom
    @output
    @operator
    def command(client: Client, *, names: tuple[str, ...], output: Output, **how: Any) -> None:
        """Say the verb; the command's own help says what it does."""
        tell(client, verb, names, how, output)

    for option in reversed(_options(verb)):
        option(command)
    return command


def _options(verb: Verb) -> list[Callable[[click.Command], object]]:
    """The options that only some verbs have."""
    found: list[Callable[[click.Command], object]] = []
    if verb.graph:
        parameters = click.option(
            "--set", "parameters", multiple=True, metavar="KEY=VALUE", help="What its tasks are to know; JSON or text."
        )
        wait = click.option("--wait", is_flag=True, help="Wait until it is through; exit 1 if it fails.")
        timeout = click.option("--timeout", type=Seconds(), help="With --wait: give up (exit 124) after it, like 30m.")
        found += [parameters, wait, timeout, *campaign_options.OPTIONS]
    if verb.destroys:
        found.append(click.option("--yes", is_flag=True, help="Do not ask whether what is on the disks may be lost."))
    if verb.alone:
        found.append(click.option("--force", is_flag=True, help="Deployments that hold it let go of it."))
    return found


def tell(client: Client, verb: Verb, names: Sequence[str], how: dict[str, Any], output: Output) -> None:
    """Say a verb to those that are meant, with all options of its command, and print what became of each. Some that
    cannot follow make the exit code 6, all of them 4."""
    meant = said(names, how)
    request = {
        "verb": verb.name,
        **meant,
        "parameters": {key: json_or_text(value) for key, value in _pairs(how.get("parameters", ()))},
        **campaign_options.said(how),
        **({"force": True} if how.get("force") else {}),
    }
    if how.get("plan"):
        show_outlook(client, request, output)
        return
    if verb.destroys and not how["yes"]:
        click.confirm(f"{verb.name}: what is on the disks of {told(meant)} is lost. Go on?", abort=True, err=True)
    answers: list[Item] = client.post("/nodes:batch", request)["items"]
    failed = _report(answers, output)
    going = [answer["name"] for answer in answers if answer["activity"] or answer["campaign"]]
    if how.get("wait") and going:
        failed += wait_for_turns(client, answers, how["timeout"]) or _wait(client, going, how["timeout"])
    if failed:
        raise click.exceptions.Exit(exits.PARTIAL if failed < len(answers) else exits.CONFLICT)


def _pairs(texts: Sequence[str]) -> list[tuple[str, str]]:
    return [split_pair(text, "--set") for text in texts]


def _report(answers: Sequence[Item], output: Output) -> int:
    """Say what became of every machine; gives how many could not follow."""
    if not output.for_people:
        output.items(answers, ANSWER.columns, ANSWER.name)
    for answer in answers if output.for_people else ():
        if answer["unbound"]:
            say(f"{answer['name']} unbound in {', '.join(answer['unbound'])}")
        waits = f", waits for its turn in campaign {answer['campaign']}" if answer["campaign"] else ""
        say(f"error: {answer['error']}" if answer["error"] else f"{answer['name']} {answer['word']}{waits}")
    if not answers:
        say("there is no such machine")
    return sum(bool(answer["error"]) for answer in answers)


def _wait(client: Client, names: Sequence[str], timeout: float | None) -> int:
    """Wait until the activities of these machines are over; gives how many have failed."""
    until = None if timeout is None else time.monotonic() + timeout
    open_still, failed = list(names), 0
    while open_still:
        ended = [item for item in _looked(client, open_still) if item["machine"]["phase"] in ("idle", "failed")]
        for item in ended:
            machine = item["machine"]
            bad = machine["phase"] == "failed" or machine["last_outcome"] != "ok"
            failed += bad
            say(f"{item['name']} {item['word']}" + (f": {machine['reason']}" if machine["reason"] else ""))
        over = {item["name"] for item in ended}
        open_still = [name for name in open_still if name not in over]
        if open_still and until is not None and time.monotonic() >= until:
            say(f"error: not through after {timeout:g} seconds: {', '.join(open_still)}")
            raise click.exceptions.Exit(exits.TIMEOUT)
        if open_still:
            time.sleep(_PAUSE)
    return failed


def _looked(client: Client, names: Sequence[str]) -> list[Item]:
    found: list[Item] = []
    for start in range(0, len(names), _AT_ONCE):
        part = ",".join(names[start : start + _AT_ONCE])
        found += patiently(functools.partial(_page, client, part))
    return found


def _page(client: Client, names: str) -> list[Item]:
    return list(client.items("/nodes", names=names))


accept = _command("accept")
commission = _command("commission")
test = _command("test")
reserve = _command("reserve")
deploy = _command("deploy")
release = _command("release")
erase = _command("erase")
rescue = _command("rescue")
exit_rescue = _command("exit-rescue")
service = _command("service")
adopt = _command("adopt")
retire = _command("retire")
hold = _command("hold")
unhold = _command("unhold")
abort = _command("abort")
retry = _command("retry")
