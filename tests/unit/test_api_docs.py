"""The reference of the API and of the command line name everything that there is."""

from __future__ import annotations

import re
from pathlib import Path

import click
import pytest

from rackwright.api.app import ROUTES
from rackwright.api.call import PREFIX
from rackwright.cli.main import cli

REFERENCE = Path(__file__).resolve().parents[2] / "docs" / "reference"


def test_the_reference_names_every_route_and_no_other() -> None:
    written = set(re.findall(r"`((?:GET|POST|PUT|PATCH|DELETE) /[^`]*)`", (REFERENCE / "api.md").read_text("utf-8")))
    there = {
        f"{method} {route.path.removeprefix(PREFIX).replace(':int', '')}"
        for route in ROUTES
        for method in (route.methods or set()) - {"HEAD"}
    }
    assert written == there


@pytest.mark.parametrize("group", ["node", "rack", "catalog", "deployment", "plan", "service"])
def test_the_reference_names_every_command_of_a_group(group: str) -> None:
    text = (REFERENCE / "cli.md").read_text("utf-8")
    command = cli.get_command(click.Context(cli), group)
    assert isinstance(command, click.Group)
    unnamed = [
        name
        for name in command.list_commands(click.Context(command))
        if f"rackwright {group} {name}" not in text and f"`{name}`" not in text
    ]
    assert unnamed == []


def test_the_reference_names_every_command() -> None:
    text = (REFERENCE / "cli.md").read_text("utf-8")
    assert [name for name in cli.list_commands(click.Context(cli)) if f"rackwright {name}" not in text] == []
