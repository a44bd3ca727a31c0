"""Options that many commands share, as decorators."""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Callable
from typing import Any, TypeVar, cast

import click

from rackwright.cli.client import Client
from rackwright.cli.output import FORMATS, Output
from rackwright.cli.settings import read_settings
from rackwright.core.errors import Conflict

F = TypeVar("F", bound=Callable[..., Any])


def operator(function: F) -> F:
    """The command speaks to the api: it gets a ``client`` first, and the options that say where the api is."""

    @reachable
    @functools.wraps(function)
    def run(connect: Callable[[], Client], /, *args: Any, **options: Any) -> Any:
        return function(connect(), *args, **options)

    return cast(F, run)


def reachable(function: F) -> F:
    """The command may speak to the api: it gets ``connect`` first, which gives a client, and the options that say where
    the api is. Nothing is asked of them before ``connect`` is called."""

    @click.option("--server", metavar="URL", help="The api. Default: $RACKWRIGHT_SERVER, else client.toml.")
    @click.option(
        "--token-file", metavar="FILE", help="A file with the token. Default: $RACKWRIGHT_TOKEN, else client.toml."
    )
    @click.pass_context
    @functools.wraps(function)
    def run(ctx: click.Context, /, *args: Any, server: str | None, token_file: str | None, **options: Any) -> Any:
        def connect() -> Client:
            client = Client(read_settings(server, token_file, os.environ), transport=ctx.find_root().obj)
            ctx.call_on_close(client.close)
            return client

        return function(connect, *args, **options)

    return cast(F, run)


def output(function: F) -> F:
    """The command prints data: it gets an ``output``."""

    @click.option("-o", "--output", "form", type=click.Choice(FORMATS), default="table", show_default=True)
    @click.option("--no-headers", is_flag=True, help="Tables without the line of titles.")
    @functools.wraps(function)
    def run(*args: Any, form: str, no_headers: bool, **options: Any) -> Any:
        return function(*args, output=Output(form, headers=not no_headers), **options)

    return cast(F, run)


def consent(function: F) -> F:
    """The command may destroy something: it gets ``agree``, which asks a person and ends the command on a no."""

    @click.option("-y", "--yes", is_flag=True, help="Do not ask.")
    @click.option("--no-input", is_flag=True, help="Never ask: end with an error where a yes is needed.")
    @functools.wraps(function)
    def run(*args: Any, yes: bool, no_input: bool, **options: Any) -> Any:
        def agree(question: str) -> None:
            if yes:
                return
            if no_input or not sys.stdin.isatty():
                raise Conflict(f"this needs a yes: {question}", mend="give --yes")
            click.confirm(question, abort=True, err=True)

        return function(*args, agree=agree, **options)

    return cast(F, run)
