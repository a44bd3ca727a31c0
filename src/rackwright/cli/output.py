"""Data on stdout: tables for people, JSON, YAML and names for programs. Programs get the api's objects unchanged."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from rackwright.core.errors import InvalidInput


def write_text(text: str, file: Path | None) -> None:
    """Write to a file, or without one to stdout. Raises InvalidInput when the file does not take it."""
    write_texts((text,), file)


def write_texts(pieces: Iterable[str], file: Path | None) -> None:
    """Write a long text piece by piece, as ``write_text`` does."""
    if file is None:
        for piece in pieces:
            click.echo(piece, nl=False)
        return
    try:
        with file.open("w", encoding="utf-8") as output:
            output.writelines(pieces)
    except OSError as error:
        raise InvalidInput(
            f"it cannot be written: {error.strerror}", where=str(file), mend="name a file in a folder that takes it"
        ) from error


FORMATS = ("table", "wide", "json", "yaml", "jsonl", "name")
Item = dict[str, Any]

COLOURS = {
    "active": "green", "ready": "green", "applied": "green", "ok": "green", "running": "green",
    "error": "red", "failed": "red", "lost": "red",
    "transition": "cyan", "annealing": "cyan",
    "proposed": "yellow", "blocked": "yellow", "stopped": "yellow", "held": "yellow", "retried": "yellow",
    "draining": "yellow",
}  # fmt: skip
"""Colours of the words for states; the word itself always stands there too."""


@dataclass(frozen=True)
class Column:
    """A column of a table: its title, its text for an item, and whether only ``wide`` shows it."""

    title: str
    text: Callable[[Item], str]
    wide: bool = False


@dataclass(frozen=True)
class Output:
    """The form that was asked for with ``-o``."""

    form: str = "table"
    headers: bool = True

    @property
    def for_people(self) -> bool:
        """True for the forms that no program should read."""
        return self.form in ("table", "wide")

    def items(self, items: Sequence[Item], columns: Sequence[Column], kind: str = "", key: str = "name") -> None:
        """Print a list; ``name`` prints ``kind/key`` of each."""
        if self.form == "json":
            click.echo(_json({"items": items, "next": None}))
        elif self.form == "yaml":
            click.echo(_yaml({"items": items, "next": None}), nl=False)
        elif self.form == "jsonl":
            for item in items:
                click.echo(json.dumps(item, ensure_ascii=False))
        elif self.form == "name":
            for item in items:
                click.echo(f"{kind}/{item[key]}")
        else:
            shown = [column for column in columns if self.form == "wide" or not column.wide]
            table([[column.text(item) for column in shown] for item in items], [c.title for c in shown] * self.headers)

    def item(self, item: Item, people: Callable[[], None], name: str = "") -> None:
        """Print one object; ``people`` prints it for people, ``name`` is what ``-o name`` gives."""
        if self.form == "json":
            click.echo(_json(item))
        elif self.form == "yaml":
            click.echo(_yaml(item), nl=False)
        elif self.form == "jsonl":
            click.echo(json.dumps(item, ensure_ascii=False))
        elif self.form == "name":
            click.echo(name)
        else:
            people()


def table(rows: Sequence[Sequence[str]], titles: Sequence[str] = (), *, err: bool = False) -> None:
    """Print rows in aligned columns, three spaces apart; the last one is as long as it likes."""
    lines = [list(titles), *map(list, rows)] if titles else [list(row) for row in rows]
    lines = [[cell.replace("\n", " ") for cell in line] for line in lines]
    widths = [max(map(len, cells)) for cells in zip(*lines, strict=True)]
    for line in lines:
        cells = [_paint(cell, cell.ljust(width)) for cell, width in zip(line[:-1], widths[:-1], strict=True)]
        click.echo("   ".join([*cells, _paint(line[-1], line[-1])]).rstrip(), err=err)


def fields(pairs: Iterable[tuple[str, str]]) -> None:
    """Print names and values, one pair a line."""
    table([[f"{name}:", value] for name, value in pairs])


def say(text: str) -> None:
    """A message for people, on stderr."""
    click.echo(text, err=True)


def paint(state: str) -> str:
    """A word for a state in its colour."""
    return _paint(state, state)


def compact(value: Any) -> str:
    """A value of a fact on one line."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def ago(seconds: float | None) -> str:
    """How long ago a time (seconds since the epoch) was: ``12s``, ``5m``, ``3h``, ``2d``; ``-`` for never."""
    if seconds is None:
        return "-"
    return span(max(time.time() - seconds, 0.0))


def span(seconds: float) -> str:
    """A length of time in its largest whole unit."""
    for size, unit in ((86400, "d"), (3600, "h"), (60, "m")):
        if seconds >= size:
            return f"{int(seconds // size)}{unit}"
    return f"{int(seconds)}s"


def moment(seconds: float) -> str:
    """A time (seconds since the epoch) in local time."""
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(seconds))


def _paint(word: str, text: str) -> str:
    return click.style(text, fg=COLOURS[word]) if word in COLOURS else text


def _json(value: Any) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False)


def _yaml(value: Any) -> str:
    import yaml

    return yaml.safe_dump(value, sort_keys=False, allow_unicode=True)
