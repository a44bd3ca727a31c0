"""Images from a folder to the region and to a rack: whole, checked, signed, and gone when they are removed."""

from __future__ import annotations

import gzip
import hashlib
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import httpx
import msgspec
import pytest
import zstandard

from rackwright.api.app import build
from rackwright.commands import image_build
from rackwright.core.images import ImageFile, Manifest
from rackwright.engine import image_signing
from rackwright.store.images import ImageFolder
from tests.unit.api_world import World

SECRET = bytes(range(32))
DATA = b"disk" * 100_000


class Site:
    """An api that keeps images in a folder, and a rack of it."""

    def __init__(self, world: World, folder: Path) -> None:
        self.world, self.folder = world, folder
        world.app = build(replace(world.services, images=ImageFolder(folder)))
        world._inner = httpx.ASGITransport(world.app, raise_app_exceptions=False)
        self.rack_token = world.site()

    def files(self) -> list[str]:
        return sorted(path.name for path in (self.folder / "files").iterdir())


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    world = World()
    yield Site(world, tmp_path / "images")
    world.close()


def built(folder: Path, name: str = "discovery", kernel: bytes = b"kernel", ramdisk: bytes = b"ramdisk") -> Manifest:
    """What a build leaves: the files, and a signed manifest."""
    folder.mkdir(exist_ok=True)
    files = []
    for part, data in (("kernel", kernel), ("ramdisk", ramdisk)):
        (folder / part).write_bytes(data)
        said = {"name": part, "part": part, "bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
        files.append(msgspec.convert(said, ImageFile))
    manifest = image_signing.sign(Manifest(name=name, version="1", kind="discovery", files=tuple(files)), SECRET)
    image_build.write(manifest, folder)
    return manifest


def test_what_was_built_is_imported_and_found_by_name_and_digest(site: Site, tmp_path: Path) -> None:
    manifest = built(tmp_path / "out")
    done = site.world.rackwright("image", "import", str(tmp_path / "out"))
    assert done.exit_code == 0, done.stderr
    for name in ("discovery", manifest.digest):
        answer = site.world.ask("GET", f"/api/v1/images/{name}")
        assert msgspec.json.decode(answer.content, type=Manifest) == manifest
    (listed,) = json.loads(site.world.rackwright("image", "list", "-o", "json").stdout)["items"]
    assert listed["digest"] == manifest.digest


def test_a_rack_fetches_manifests_and_files_with_its_own_token_and_in_part(site: Site, tmp_path: Path) -> None:
    manifest = built(tmp_path / "out")
    site.world.rackwright("image", "import", str(tmp_path / "out"))
    url, token = "/api/v1/racks/r1/images", site.rack_token
    assert site.world.ask("GET", f"{url}/discovery", token=token).json()["digest"] == manifest.digest
    part = site.world.ask("GET", f"{url}/files/{manifest.files[0].sha256}", token=token, Range="bytes=2-")
    assert (part.status_code, part.content) == (206, b"rnel")
    assert site.world.ask("GET", f"{url}/discovery", token=site.world.admin).status_code == 403
    assert site.world.ask("GET", "/api/v1/images/discovery", token=token).status_code == 403


@pytest.mark.parametrize(
    ("pack", "compression"), [(bytes, "none"), (gzip.compress, "gzip"), (zstandard.compress, "zstd")]
)
def test_a_disk_without_a_manifest_is_described_packed_and_unpacked(
    site: Site, tmp_path: Path, pack: type[bytes], compression: str
) -> None:
    packed = pack(DATA)
    (tmp_path / "disk").write_bytes(packed)
    words = ("--name", "web", "--property", "cloud_init=true", "--property", "root=1", "--property", "user=debian")
    done = site.world.rackwright("image", "import", str(tmp_path / "disk"), *words)
    assert done.exit_code == 0, done.stderr
    manifest = site.world.ask("GET", "/api/v1/images/web").json()
    assert manifest["properties"] == {"cloud_init": True, "root": 1, "user": "debian"}
    assert manifest["files"] == [{
        "name": "disk", "part": "disk", "bytes": len(packed), "sha256": hashlib.sha256(packed).hexdigest(),
        "compression": compression, "raw_bytes": len(DATA), "raw_sha256": hashlib.sha256(DATA).hexdigest(),
    }]  # fmt: skip


def test_a_name_means_the_image_that_was_added_last(site: Site, tmp_path: Path) -> None:
    built(tmp_path / "one")
    second = built(tmp_path / "two", kernel=b"newer")
    for folder in ("one", "two"):
        site.world.rackwright("image", "import", str(tmp_path / folder))
    assert site.world.ask("GET", "/api/v1/images/discovery").json()["digest"] == second.digest


def test_every_rack_knows_the_images_that_there_are_also_one_that_comes_later(site: Site, tmp_path: Path) -> None:
    async def look(rack: str) -> dict[str, str]:
        async with site.world.services.store.transaction() as tx:
            scope = (await tx.named("rack", [rack]))[rack]
            (fact,) = await tx.facts([scope.id], ["images"])
        return {name: image["digest"] for name, image in fact.value.items()}

    def known(rack: str) -> dict[str, str]:
        return site.world.run(look(rack))

    built(tmp_path / "one", name="debian-12.5")
    newer = built(tmp_path / "two", name="debian-12.5", kernel=b"newer")
    for folder in ("one", "two"):
        site.world.rackwright("image", "import", str(tmp_path / folder))
    site.world.ask("POST", "/api/v1/racks", {"name": "later"})
    assert known("r1") == known("later") == {"debian-12.5": newer.digest}
    site.world.rackwright("image", "remove", newer.digest)
    assert set(known("r1")) == {"debian-12.5"}
    assert known("r1")["debian-12.5"] != newer.digest


def test_a_rack_is_told_which_images_to_have_at_hand_and_people_read_how_that_goes(site: Site, tmp_path: Path) -> None:
    manifest = built(tmp_path / "out")
    site.world.rackwright("image", "import", str(tmp_path / "out"))
    asked = site.world.rackwright("image", "prefetch", "discovery", "--rack", "r1")
    assert asked.exit_code == 0, asked.stderr
    served = "/api/v1/racks/r1/served?after=-1"
    delta = site.world.ask("GET", served, token=site.rack_token).json()
    assert delta["rack"]["settings"]["prefetch"] == {manifest.digest: "discovery"}
    state = {"files": 2, "bytes": 3 << 29, "limit": 50 << 30, "fetching": {"ab" * 32: 1 << 20}, "trouble": "it is full"}
    said = {"generation": delta["generation"], "report": {"images": {**state, "to_machines": 1 << 20}}}
    site.world.ask("POST", "/api/v1/racks/r1/applied", said, token=site.rack_token)
    text = site.world.rackwright("describe", "rack", "r1").stdout
    for words in (
        "1.50 of 50.0",
        "abababababab: 1.0 MiB",
        "to machines   at most 1.0 MiB/s",
        "trouble       it is full",
    ):
        assert words in text
    site.world.rackwright("image", "prefetch", "discovery", "--drop")
    delta = site.world.ask("GET", served, token=site.rack_token).json()
    assert "prefetch" not in delta["rack"]["settings"]
    assert site.world.rackwright("image", "prefetch", "discovery", "--rack", "r9").exit_code == 3


def test_a_file_that_is_not_what_its_digest_says_is_never_there(site: Site) -> None:
    answer = site.world.ask("PUT", f"/api/v1/images/files/{'0' * 64}", b"other")
    assert answer.status_code == 400
    assert site.files() == []


def test_a_manifest_without_its_files_is_refused(site: Site, tmp_path: Path) -> None:
    manifest = built(tmp_path / "out")
    answer = site.world.ask("POST", "/api/v1/images", msgspec.to_builtins(manifest))
    assert answer.status_code == 409
    assert "is not here" in answer.json()["detail"]


def test_a_manifest_that_was_changed_after_signing_is_refused(site: Site, tmp_path: Path) -> None:
    manifest = msgspec.structs.replace(built(tmp_path / "out"), arguments="init=/bin/sh")
    image_build.write(manifest, tmp_path / "out")
    done = site.world.rackwright("image", "import", str(tmp_path / "out"))
    assert done.exit_code == 1
    assert "signature does not fit" in done.stderr
    assert site.world.ask("POST", "/api/v1/images", msgspec.to_builtins(manifest)).status_code == 400


def test_only_a_trusted_key_will_do_where_one_is_named(site: Site, tmp_path: Path) -> None:
    built(tmp_path / "out")
    other, own = image_signing.public_key(bytes(32)), image_signing.public_key(SECRET)
    assert site.world.rackwright("image", "import", str(tmp_path / "out"), "--trust", other).exit_code == 1
    assert site.world.rackwright("image", "import", str(tmp_path / "out"), "--trust", own).exit_code == 0


def test_files_that_were_changed_after_the_build_are_refused(site: Site, tmp_path: Path) -> None:
    built(tmp_path / "out")
    (tmp_path / "out/kernel").write_bytes(b"other!")
    done = site.world.rackwright("image", "import", str(tmp_path / "out"))
    assert "the manifest says" in done.stderr
    assert not site.folder.exists()


def test_verify_finds_a_file_that_decayed_and_one_that_is_gone(site: Site, tmp_path: Path) -> None:
    manifest = built(tmp_path / "out")
    site.world.rackwright("image", "import", str(tmp_path / "out"))
    assert site.world.rackwright("image", "verify", "discovery").exit_code == 0
    (site.folder / "files" / manifest.files[0].sha256).write_bytes(b"Kernel")
    (site.folder / "files" / manifest.files[1].sha256).unlink()
    done = site.world.rackwright("image", "verify", "discovery")
    assert done.exit_code == 6
    assert "kernel is damaged" in done.stderr
    assert "ramdisk is missing" in done.stderr


def test_removing_an_image_keeps_the_files_that_another_one_has(site: Site, tmp_path: Path) -> None:
    first, second = built(tmp_path / "one"), built(tmp_path / "two", "rescue", ramdisk=b"other")
    for folder in ("one", "two"):
        site.world.rackwright("image", "import", str(tmp_path / folder))
    assert site.world.rackwright("image", "remove", "discovery").exit_code == 0
    assert site.files() == sorted(file.sha256 for file in second.files)
    assert site.world.ask("GET", f"/api/v1/images/{first.digest}").status_code == 404


def test_an_unknown_image_is_an_error_that_tells_which_there_are(site: Site, tmp_path: Path) -> None:
    built(tmp_path / "out")
    site.world.rackwright("image", "import", str(tmp_path / "out"))
    answer = site.world.ask("GET", "/api/v1/images/other")
    assert answer.status_code == 404
    assert "discovery" in answer.json()["mend"]
