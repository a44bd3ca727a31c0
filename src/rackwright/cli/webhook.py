"""``rackwright webhook``: who is told what happens, and how that went."""

from __future__ import annotations

import os

import click

from rackwright.cli.client import Client
from rackwright.cli.examples import examples
from rackwright.cli.many import each
from rackwright.cli.options import operator, output
from rackwright.cli.output import Column, Item, Output, ago, compact, say
from rackwright.core.errors import InvalidInput

_HOOKS = (
    Column("NAME", lambda item: item["name"]),
    Column("KIND", lambda item: item["kind"]),
    Column("DEPLOYMENT", lambda item: item["deployment"] or "-"),
    Column("EVENTS", lambda item: ",".join(item["events"])),
    Column("WAITING", lambda item: str(item["waiting"])),
    Column("PARKED", lambda item: str(item["parked"])),
    Column("TARGET", lambda item: item["target"]),
)
_DELIVERIES = (
    Column("ID", lambda item: item["id"]),
    Column("EVENT", lambda item: item["event"]),
    Column("TRY", lambda item: str(item["try"])),
    Column("AGE", lambda item: ago(item["at"])),
    Column("TOOK", lambda item: f"{item['took']:.2f}s"),
    Column("RESULT", lambda item: item["error"] or "ok"),
)
_MESSAGES = (
    Column("ID", lambda item: item["id"]),
    Column("EVENT", lambda item: item["event"]),
    Column("STATE", lambda item: item["state"]),
    Column("TRIES", lambda item: str(item["tries"])),
    Column("AGE", lambda item: ago(item["at"])),
    Column("DATA", lambda item: compact(item["data"]), wide=True),
    Column("ERROR", lambda item: item["error"] or "-"),
)


@click.group()
def webhook() -> None:
    """Tell others what happens: webhooks, and the hooks of scripts and installed functions."""


@examples(
    "rackwright webhook add ops --url https://ops.example.org/told --events node_task.error,deployment.*",
    "rackwright webhook add web --url http://127.0.0.1:9000/ --events node_task.active -d web --save web.secret",
)
@webhook.command()
@click.argument("name")
@click.option("--url", required=True, help="Where to post.")
@click.option("--events", required=True, metavar="A,B", help="Events, or node_task.*, node.*, deployment.*")
@click.option("-d", "--deployment", help="What happens in this deployment only, and to its members.")
@click.option("--task", "tasks", multiple=True, help="Node tasks of this task only; may be repeated.")
@click.option("--save", "into", metavar="FILE", help="Write the secret there (0600) instead of stdout.")
@operator
def add(
    client: Client, *, name: str, into: str | None, events: str, tasks: tuple[str, ...], **asked: str | None
) -> None:
    """Post what happens to a URL, signed. Gives the secret: it is shown this once."""
    file = None if into is None else _open(into)
    body = {"name": name, "events": [event for event in events.split(",") if event], "tasks": list(tasks), **asked}
    try:
        secret = client.post("/hooks", body)["secret"]
    except BaseException:
        if into is not None:
            os.unlink(into)
        raise
    if file is None:
        click.echo(secret)
        say(f"webhook {name} added; keep the secret: it is not shown again")
        return
    with open(file, "w", encoding="ascii") as opened:
        opened.write(f"{secret}\n")
    say(f"webhook {name} added; its secret is in {into}")


@webhook.command(name="list")
@output
@operator
def list_(client: Client, *, output: Output) -> None:
    """List all hooks with what waits for them and what is parked."""
    output.items(list(client.items("/hooks")), _HOOKS, "hook")


@webhook.command()
@click.argument("names", nargs=-1, required=True)
@operator
def delete(client: Client, *, names: tuple[str, ...]) -> None:
    """Forget hooks with all that waits for them."""
    each(names, lambda name: client.delete(f"/hooks/{name}"), "deleted")


@webhook.command()
@click.argument("name")
@click.option("--limit", type=click.IntRange(1, 5000), default=100, show_default=True, help="How many at most.")
@output
@operator
def deliveries(client: Client, *, name: str, limit: int, output: Output) -> None:
    """Show the newest deliveries of a hook, newest first."""
    found: list[Item] = client.get(f"/hooks/{name}/deliveries", limit=limit)["items"]
    output.items(found, _DELIVERIES, "delivery", "id")


@webhook.command()
@click.argument("name")
@click.option("--state", type=click.Choice(["waiting", "delivered", "parked"]), help="Only what is in this state.")
@output
@operator
def messages(client: Client, *, name: str, state: str | None, output: Output) -> None:
    """Show what waits for a hook, what is parked, and what was delivered."""
    found: list[Item] = client.get(f"/hooks/{name}/messages", state=state)["items"]
    output.items(found, _MESSAGES, "message", "id")


@webhook.command()
@click.argument("name")
@click.argument("ids", nargs=-1)
@operator
def redeliver(client: Client, *, name: str, ids: tuple[str, ...]) -> None:
    """Deliver messages again by their ids; without any id all that are parked."""
    done = client.post(f"/hooks/{name}/redeliver", {"ids": list(ids) or None})["redelivered"]
    say(f"{done} messages will be delivered again")


def _open(path: str) -> int:
    try:
        return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except OSError as error:
        raise InvalidInput(
            f"the secret cannot be written: {error.strerror}", where=path, mend="name a file that is not there yet"
        ) from None
