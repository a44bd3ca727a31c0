"""The parts of which images are put together."""

from __future__ import annotations

import io
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import zstandard

from rackwright.core.errors import Permanent
from rackwright.drivers.image import discovery, modules, packages, ramdisk
from rackwright.drivers.image.archive import agent_archive


def _packed(folder: Path) -> bytes:
    into = io.BytesIO()
    ramdisk.pack(folder, into, when=1_000_000_000)
    return into.getvalue()


def _tree(folder: Path, names: list[str]) -> Path:
    folder.mkdir()
    for name in names:
        (folder / name).write_text(name)
    (folder / "bin").mkdir()
    (folder / "bin/run").write_text("#!/bin/sh\n")
    (folder / "bin/run").chmod(0o755)
    (folder / "link").symlink_to("bin/run")
    return folder


def test_the_same_files_make_the_same_ramdisk_in_whatever_order_they_came(tmp_path: Path) -> None:
    assert _packed(_tree(tmp_path / "one", ["a", "b"])) == _packed(_tree(tmp_path / "two", ["b", "a"]))


@pytest.mark.skipif(shutil.which("cpio") is None, reason="the program cpio is not installed")
def test_a_ramdisk_is_what_cpio_reads(tmp_path: Path) -> None:
    packed = _packed(_tree(tmp_path / "tree", ["a"]))
    archive = zstandard.ZstdDecompressor().stream_reader(packed).read()
    out = tmp_path / "out"
    out.mkdir()
    subprocess.run(["cpio", "-id", "--quiet", "--no-preserve-owner"], input=archive, cwd=out, check=True)
    assert (out / "a").read_text() == "a"
    assert (out / "bin/run").stat().st_mode & 0o777 == 0o755
    assert (out / "link").readlink() == Path("bin/run")


def _module(folder: Path, name: str, needs: str) -> None:
    (folder / f"{name}.ko").write_bytes(b"\x7fELF\0license=GPL\0depends=" + needs.encode() + b"\0name=x\0")


def test_modules_are_loaded_after_those_that_they_need(tmp_path: Path) -> None:
    source = tmp_path / "kernel"
    source.mkdir()
    (source / "modules.builtin").write_text("kernel/fs/ext4/ext4.ko\n")
    for name, needs in (("virtio_net", "virtio,net-failover"), ("net-failover", "virtio"), ("virtio", "ext4")):
        _module(source, name, needs)
    order = modules.copy(source, tmp_path / "out", ["virtio_net", "ext4"])
    assert order == ["virtio", "net_failover", "virtio_net"]
    assert sorted(path.stem for path in (tmp_path / "out").iterdir()) == sorted(order)
    with pytest.raises(Permanent, match="no module absent"):
        modules.copy(source, tmp_path / "out", ["absent"])


@pytest.mark.skipif(not Path("/bin/ls").exists(), reason="there is no /bin/ls to look at")
def test_the_libraries_that_a_program_names_are_found() -> None:
    assert "libc.so.6" in discovery.needed(Path("/bin/ls").read_bytes())


def test_what_the_agent_runs_on_real_machines_is_in_the_generic_image(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    generic, unpacked, root = discovery.VARIANTS["generic"], tmp_path / "packages", tmp_path / "root"
    for program in ("bin/busybox", "usr/bin/zstd", "sbin/hdparm"):
        (unpacked / program).parent.mkdir(parents=True, exist_ok=True)
        (unpacked / program).write_text(program)
    monkeypatch.setattr(packages, "run", lambda words: "busybox sh ls")
    discovery._programs(generic, unpacked, root)
    assert (root / "sbin/hdparm").read_text() == "sbin/hdparm"
    assert (root / "bin/ls").readlink() == Path("busybox")


def test_the_agents_archive_runs_with_any_python(tmp_path: Path) -> None:
    archive = tmp_path / "agent.pyz"
    archive.write_bytes(agent_archive())
    done = subprocess.run(
        [sys.executable, "-I", archive, tmp_path / "none"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert "no door is named" in done.stderr
