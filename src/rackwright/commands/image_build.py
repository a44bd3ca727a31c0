"""``rackwright image build``: images from Debian packages, signed with this installation's key."""

from __future__ import annotations

import os
from pathlib import Path

import click
import msgspec

from rackwright.cli.examples import examples
from rackwright.cli.output import say
from rackwright.cli.settings import data_folder
from rackwright.commands.keys import image_key
from rackwright.core.images import Manifest
from rackwright.drivers.image import debian, discovery
from rackwright.engine import image_signing


@examples(
    "rackwright image build discovery --variant lab --output ./discovery",
    "rackwright image build debian --output ./debian",
    "rackwright image import ./discovery",
)
@click.command()
@click.argument("what", type=click.Choice(["discovery", "debian"]))
@click.option(
    "--variant", type=click.Choice(sorted(discovery.VARIANTS)), default="generic", show_default=True,
    help="Of discovery: `lab` has virtio drivers only, `generic` those of Debian's kernel.",
)  # fmt: skip
@click.option(
    "--layouts", is_flag=True,
    help="Of debian: its root can also stand on a logical volume or a mirror; it is a little larger.",
)  # fmt: skip
@click.option("--output", "folder", required=True, type=click.Path(file_okay=False, path_type=Path), help="Where to.")
@click.option("--data", type=click.Path(file_okay=False, path_type=Path), help="The data folder (RACKWRIGHT_DATA).")
def build(*, what: str, variant: str, layouts: bool, folder: Path, data: Path | None) -> None:
    """Build an image into a folder: its files and manifest.json. It needs Debian's own tools (apt, dpkg; for `debian`
    also mmdebstrap and root). The same packages give the same image; what was built before is used again."""
    data = data or data_folder(os.environ)
    cache = data / "image-cache"
    cache.mkdir(parents=True, exist_ok=True)
    if what == "debian":
        made = debian.build(folder, cache, say, layouts=layouts)
    else:
        made = discovery.build(variant, folder, cache, say)
    write(image_signing.sign(made, image_key(data, os.environ)), folder)
    say(f"{made.name} {made.version}: {sum(file.bytes for file in made.files) / 2**20:.1f} MiB in {folder}")


def write(manifest: Manifest, folder: Path) -> None:
    """Leave the manifest beside its files."""
    text = msgspec.json.format(msgspec.json.encode(manifest), indent=2)
    (folder / "manifest.json").write_bytes(text + b"\n")
