"""``rackwright image``: what machines boot and what is installed on them."""

from __future__ import annotations

import json
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Any, cast

import click
import msgspec

from rackwright.cli import image_source
from rackwright.cli.client import Client
from rackwright.cli.examples import examples
from rackwright.cli.exits import PARTIAL
from rackwright.cli.image_source import Given
from rackwright.cli.lazy import Lazy, LazyGroup
from rackwright.cli.many import each
from rackwright.cli.options import operator, output
from rackwright.cli.output import Column, Output, ago, say
from rackwright.core.errors import InvalidInput
from rackwright.core.images import ImageKind, Manifest, Part
from rackwright.engine import image_signing

_COLUMNS = (
    Column("NAME", lambda item: item["name"]),
    Column("VERSION", lambda item: item["version"]),
    Column("KIND", lambda item: item["kind"]),
    Column("FIRMWARE", lambda item: ",".join(item["firmware"])),
    Column("MIB", lambda item: f"{sum(file['bytes'] for file in item['files']) / 2**20:.1f}"),
    Column("SIGNED", lambda item: "yes" if item["key"] else "no"),
    Column("AGE", lambda item: ago(item["made_at"]) if item["made_at"] else "-"),
    Column("DIGEST", lambda item: item["digest"], wide=True),
)


@click.group(
    cls=LazyGroup, lazy={"build": Lazy("rackwright.commands.image_build:build", "Build an image from Debian packages.")}
)
def image() -> None:
    """Build, import, check and list what machines boot and what is installed on them."""


@examples(
    "rackwright image import ./discovery                       what `image build` wrote",
    "rackwright image import debian-12.qcow2 --name debian --property cloud_init=true --property root=1",
    "rackwright image import https://example.org/disk.raw.zst --name web --sha256 5ba9...",
    "rackwright image import --name debian-installer --kind installer --kernel linux --ramdisk initrd.gz",
)
@image.command("import")
@click.argument("source", required=False)
@click.option("--name", help="Its name; needed where it has no manifest.")
@click.option("--version", default="1", show_default=True, help="Its version, where it has no manifest.")
@click.option(
    "--kind", type=click.Choice(["disk", "installer", "memory", "discovery"]), default="disk", show_default=True
)
@click.option("--kernel", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="A file of its own.")
@click.option("--ramdisk", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="A file of its own.")
@click.option("--arguments", default="", help="Kernel arguments that it needs.")
@click.option("--property", "properties", multiple=True, metavar="NAME=VALUE", help="JSON or a plain word; repeatable.")
@click.option("--sha256", default="", help="Of the file, as its maker published it.")
@click.option("--trust", multiple=True, metavar="KEY", help="Take it only with a signature by this key (base64).")
@operator
def bring(
    client: Client, *, source: str | None, name: str | None, version: str, kind: str, kernel: Path | None,
    ramdisk: Path | None, arguments: str, properties: tuple[str, ...], sha256: str, trust: tuple[str, ...],
) -> None:  # fmt: skip
    """Bring an image in: SOURCE is a folder with a manifest, or a file or URL of a disk (raw, gzip, zstd, qcow2)."""
    with ExitStack() as held:
        if source is not None and name is None:
            manifest, files = image_source.of_folder(Path(source))
        else:
            if name is None:
                raise InvalidInput("the image has no name", mend="give it one with --name")
            work = Path(held.enter_context(tempfile.TemporaryDirectory()))
            parts: dict[Part, Path] = {}
            if source is not None:
                parts["disk"] = held.enter_context(image_source.at_hand(source, work, sha256))
            parts |= {part: path for part, path in _boot_parts(kernel, ramdisk).items() if path is not None}
            given = Given(name, version, cast(ImageKind, kind), _properties(properties), arguments)
            manifest, files = image_source.of_files(given, parts)
        image_signing.check(manifest, trust)
        _send(client, manifest, files)
    say(f"image {manifest.name} {manifest.version} is there ({manifest.digest[:12]})")


@image.command("list")
@output
@operator
def every(client: Client, *, output: Output) -> None:
    """List the images, the one that was added last first."""
    output.items(client.get("/images")["items"], _COLUMNS, "image")


@image.command()
@click.argument("names", nargs=-1, required=True)
@operator
@click.pass_context
def verify(ctx: click.Context, client: Client, *, names: tuple[str, ...]) -> None:
    """Read every byte of images that the region keeps, and compare."""
    sound = True
    for name in names:
        faults = client.post(f"/images/{name}/verify", {})["faults"]
        for fault in faults:
            say(f"{name}: {fault}")
        if not faults:
            say(f"{name}: sound")
        sound = sound and not faults
    if not sound:
        ctx.exit(PARTIAL)


@examples(
    "rackwright image prefetch debian-12 --rack r1 --rack r2",
    "rackwright image prefetch debian-12 --drop",
)
@image.command()
@click.argument("names", metavar="IMAGE...", nargs=-1, required=True)
@click.option("--rack", "racks", multiple=True, help="A rack; repeatable.  [default: all]")
@click.option("--drop", is_flag=True, help="No longer.")
@operator
def prefetch(client: Client, *, names: tuple[str, ...], racks: tuple[str, ...], drop: bool) -> None:
    """Let racks have images at hand before a machine asks. A name means the image that was added last."""
    said = {"racks": list(racks) or None, "wanted": not drop}
    each(names, lambda name: client.post(f"/images/{name}/prefetch", said), "dropped" if drop else "will be at hand")


@image.command()
@click.argument("names", nargs=-1, required=True)
@operator
def remove(client: Client, *, names: tuple[str, ...]) -> None:
    """Forget images, by name or digest, and their files that no other image has."""
    each(names, lambda name: client.delete(f"/images/{name}"), "removed")


def _boot_parts(kernel: Path | None, ramdisk: Path | None) -> dict[Part, Path | None]:
    return {"kernel": kernel, "ramdisk": ramdisk}


def _send(client: Client, manifest: Manifest, files: dict[str, Path]) -> None:
    for file in manifest.files:
        path = f"/images/files/{file.sha256}"
        if not client.has(path):
            say(f"{file.name}: {file.bytes / 2**20:.1f} MiB")
            client.upload(path, image_source.pieces(files[file.sha256]), file.bytes)
    client.post("/images", msgspec.to_builtins(manifest))


def _properties(words: tuple[str, ...]) -> dict[str, Any]:
    found = {}
    for word in words:
        name, equals, value = word.partition("=")
        if not equals:
            raise InvalidInput(f"{word!r} is no property", where="--property", mend="write NAME=VALUE")
        try:
            found[name] = json.loads(value)
        except ValueError:
            found[name] = value
    return found
