"""``rackwright node bmc``: how a machine is switched from afar."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import click

from rackwright.cli.client import Client
from rackwright.cli.examples import examples
from rackwright.cli.many import each
from rackwright.cli.node import json_or_text, split_pair
from rackwright.cli.options import operator


@examples(
    "rackwright node bmc n1 --driver ipmi --address 10.0.9.1 --user admin --password-file bmc.secret",
    "pass show bmc/n1 | rackwright node bmc n1 --driver redfish --address 10.0.9.1 --user admin --password-file -",
    "rackwright node bmc n1 --none",
)
@click.command()
@click.argument("names", nargs=-1, required=True)
@click.option("--driver", help="ipmi, redfish, qemu, webhook, manual, or another that is installed on the rack.")
@click.option("--address", default="", help="Host, host:port or URL of the BMC. {name} stands for the node's name.")
@click.option("--user", default="", help="Who signs in there.")
@click.option(
    "--password-file", type=click.File("r"),
    help="File with the password, - for stdin. Left out: the one that is known stays, for the same address and user.",
)  # fmt: skip
@click.option("--option", "options", multiple=True, metavar="KEY=VALUE", help="What this driver knows besides.")
@click.option("--none", "forget", is_flag=True, help="Forget how these nodes are switched.")
@operator
def bmc(
    client: Client,
    *,
    names: tuple[str, ...],
    driver: str | None,
    address: str,
    user: str,
    password_file: Any,
    options: tuple[str, ...],
    forget: bool,
) -> None:
    """Say how nodes are switched on and off. Passwords are sealed, and never shown again."""
    if forget:
        each(names, lambda name: client.delete(f"/nodes/{quote(name)}/power"), "bmc forgotten")
        return
    if not driver:
        raise click.UsageError("say --driver, or --none")
    if len(names) > 1 and address and "{name}" not in address:
        raise click.UsageError("every node has a BMC of its own: use {name} in --address")
    password = password_file.read().rstrip("\n") if password_file is not None else ""
    known = {key: json_or_text(value) for key, value in (split_pair(option, "--option") for option in options)}

    def setting(name: str) -> dict[str, Any]:
        where = address.replace("{name}", name)
        return {"driver": driver, "address": where, "user": user, "password": password, "options": known}

    each(names, lambda name: client.put(f"/nodes/{quote(name)}/power", setting(name)), "bmc set")
