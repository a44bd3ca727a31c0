"""``rackwright catalog``: hand a catalog to the api; check, show and draw one without a server."""

from __future__ import annotations

from pathlib import Path

import click
import yaml

from rackwright.cli.client import Client
from rackwright.cli.examples import examples
from rackwright.cli.lazy import Lazy, LazyGroup
from rackwright.cli.options import operator
from rackwright.cli.output import say
from rackwright.core.errors import InvalidInput


@examples(
    "rackwright catalog add ./mycatalog",
)
@click.group(
    cls=LazyGroup,
    lazy={
        "lint": Lazy("rackwright.commands.catalog:lint", "Report every fault of a catalog at once."),
        "show": Lazy("rackwright.commands.catalog:show", "Show the roles and tasks of a catalog."),
        "graph": Lazy("rackwright.commands.catalog:graph", "Draw the graph of a catalog."),
    },
)
def catalog() -> None:
    """Add a catalog to the api; check, show and draw one without a server."""


@catalog.command()
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--name", help="Default: the name in catalog.yaml, else the folder's.")
@operator
def add(client: Client, *, folder: Path, name: str | None) -> None:
    """Hand a catalog to the api. Its name means it from now on; deployments keep theirs until they are planned with
    --catalog.
    """
    files = read_folder(folder)
    added = client.post("/catalogs", {"name": name or _name(folder, files), "files": files})
    say(f"catalog {added['name']} added: {len(files)} files, digest {added['digest'][:12]}")


def read_folder(folder: Path) -> dict[str, str]:
    """Every text of a folder by its path in it; hidden files, and files that are no text, are left out."""
    files: dict[str, str] = {}
    for path in sorted(folder.rglob("*")):
        place = path.relative_to(folder)
        if not path.is_file() or any(part.startswith(".") for part in place.parts):
            continue
        try:
            files[place.as_posix()] = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            say(f"left out, it is no text: {place}")
    if not files:
        raise InvalidInput("there is no text in this folder", where=str(folder), mend="name the folder of a catalog")
    return files


def _name(folder: Path, files: dict[str, str]) -> str:
    try:
        said = yaml.safe_load(files.get("catalog.yaml", ""))
    except yaml.YAMLError:
        said = None
    name = said.get("name") if isinstance(said, dict) else None
    return str(name or folder.resolve().name)
