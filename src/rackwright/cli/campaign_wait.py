"""Waiting for machines whose turn in a campaign is yet to come."""

from __future__ import annotations

import functools
import time
from collections.abc import Sequence

import click

from rackwright.cli import exits
from rackwright.cli.client import Client
from rackwright.cli.output import Item, say
from rackwright.cli.patience import patiently

PAUSE = 1.0
"""Seconds between two looks."""


def wait_for_turns(client: Client, answers: Sequence[Item], timeout: float | None) -> int:
    """Wait until the campaign of these answers is over; gives for how many machines it has come to a halt. Ends the
    command with TIMEOUT after ``timeout`` seconds."""
    until = None if timeout is None else time.monotonic() + timeout
    for id in {answer["campaign"] for answer in answers if answer["campaign"]}:
        while (found := patiently(functools.partial(_found, client, id))) is not None:
            if found["halted"] and not found["under_way"]:
                say(f"error: campaign {id} {found['halted']}; `rackwright campaign forgive {id}` lets it go on")
                return int(found["waiting"] + found["failed"])
            if until is not None and time.monotonic() >= until:
                say(f"error: campaign {id} is not through after {timeout:g} seconds: {found['told']}")
                raise click.exceptions.Exit(exits.TIMEOUT)
            time.sleep(PAUSE)
    return 0


def _found(client: Client, id: int) -> Item | None:
    """The campaign; None once it is over."""
    return next((item for item in client.get("/campaigns")["items"] if item["id"] == id), None)
