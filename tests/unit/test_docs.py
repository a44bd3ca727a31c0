"""What the documents say can be done can be done: their links lead somewhere, their commands exist."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from rackwright.cli.main import cli

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
LINK = re.compile(r"\]\(([^)#\s]+)[^)]*\)")
CONSOLE = re.compile(r"```console\n(.*?)```", re.DOTALL)
INLINE = re.compile(r"`([^`\n]+)`")
KINDS = ("tutorial", "howto", "reference", "explanation")


def _name(page: Path) -> str:
    return str(page.relative_to(ROOT))


def _commands(page: Path) -> Iterator[str]:
    """Give each command line that a page shows, in a console block or in the text."""
    text = page.read_text(encoding="utf-8")
    for block in CONSOLE.findall(text):
        yield from (line[2:] for line in block.splitlines() if line.startswith("$ "))
    yield from INLINE.findall(text)


def _make_targets() -> set[str]:
    return set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))


@pytest.mark.parametrize("page", PAGES, ids=_name)
def test_every_link_to_a_file_leads_to_one(page: Path) -> None:
    links = [link for link in LINK.findall(page.read_text(encoding="utf-8")) if "://" not in link]
    assert [link for link in links if not (page.parent / link).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=_name)
def test_every_make_target_that_a_page_names_exists(page: Path) -> None:
    words = [command.split() for command in _commands(page)]
    named = {parts[-1] for parts in words if len(parts) > 1 and parts[0] == "make"}
    assert named - _make_targets() == set()


def _first_unknown_word(words: list[str]) -> str | None:
    """Follow words down the tree of commands; give the first that no group on the way knows."""
    command: click.Command | None = cli
    for word in words:
        if not isinstance(command, click.Group) or not re.fullmatch(r"[a-z]+", word):
            return None
        command = command.get_command(click.Context(command), word)
        if command is None:
            return word
    return None


@pytest.mark.parametrize("page", PAGES, ids=_name)
def test_every_command_that_a_page_names_exists(page: Path) -> None:
    lines = [command.removeprefix(".venv/bin/") for command in _commands(page)]
    unknown = {line for line in lines if line.split()[:1] == ["rackwright"] and _first_unknown_word(line.split()[1:])}
    assert unknown == set()


def test_a_command_that_does_not_exist_is_noticed() -> None:
    assert _first_unknown_word(["catalog", "paint"]) == "paint"
    assert _first_unknown_word(["get", "nodes"]) is None


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_of_documentation_has_its_first_page(kind: str) -> None:
    assert (ROOT / "docs" / kind / "index.md").is_file()


def test_every_decision_is_in_the_list_and_in_the_menu() -> None:
    folder = ROOT / "docs" / "explanation" / "adr"
    decisions = {path.name for path in folder.glob("[0-9]*.md")}
    listed = set(LINK.findall((folder / "index.md").read_text(encoding="utf-8")))
    menu = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    assert decisions - listed == set()
    assert {name for name in decisions if f"explanation/adr/{name}" not in menu} == set()


@pytest.mark.parametrize("page", sorted((ROOT / "docs" / "explanation" / "adr").glob("[0-9]*.md")), ids=_name)
def test_each_decision_has_context_decision_and_consequences(page: Path) -> None:
    headings = re.findall(r"^## (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    assert headings == ["Context", "Decision", "Consequences"]
