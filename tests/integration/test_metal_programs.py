"""The catalog `metal`: the programs that run on machines, run for real: first boot, finding disks, placing files."""

from __future__ import annotations

import json
import shutil
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.unit.metal_scripts import BONDED, answers, text, wish

BYTES = 4096 * 512


class Door(ThreadingHTTPServer):
    """A rack's door that keeps what it is told. It refuses the first requests, as many as ``refusals``."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Visit)
        self.told: list[tuple[str, str, str, Any]] = []
        self.refusals = 0


class Visit(BaseHTTPRequestHandler):
    """One request."""

    server: Door

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.answer(body, b"{}")

    def do_GET(self) -> None:
        self.answer(None, b"PK\x00archive\r\n\r\nof the agent")

    def answer(self, body: Any, said: bytes) -> None:
        door = self.server
        status = 503 if door.refusals > 0 else 200
        door.refusals -= 1
        door.told.append((self.command, self.path, self.headers["Authorization"], body))
        self.send_response(status)
        self.send_header("Content-Length", str(len(said)))
        self.end_headers()
        self.wfile.write(said)

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing is logged."""


@pytest.fixture
def door() -> Iterator[Door]:
    with Door() as made:
        thread = threading.Thread(target=made.serve_forever, daemon=True)
        thread.start()
        yield made
        made.shutdown()
        thread.join()


def first_boot(folder: Path, door: Door, word: str) -> subprocess.CompletedProcess[str]:
    """Run the program of an installed system whose root is a folder."""
    settings = folder / "first-boot.env"
    settings.write_text(f"door=http://127.0.0.1:{door.server_port}\ntoken=abc\nrequest=r1\nuser=''\n")
    (folder / "etc/ssh").mkdir(parents=True, exist_ok=True)
    (folder / "etc/ssh/ssh_host_ed25519_key.pub").write_text('ssh-ed25519 AAAA "root"@n\\1\n')
    (folder / "etc/os-release").write_text('ID=debian\nVERSION_ID="12"\nPRETTY_NAME="Debian 12 (bookworm)"\n')
    return subprocess.run(
        ["/bin/bash", "-c", text("templates/first-boot.sh"), "rackwright-first-boot", word],
        env={"PATH": "/usr/bin:/bin", "RACKWRIGHT_SETTINGS": str(settings), "RACKWRIGHT_ROOT": str(folder),
             "RACKWRIGHT_PAUSE": "0.01"},
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip


def test_a_new_system_tells_who_it_is_until_it_is_heard_and_gets_its_agent(door: Door, tmp_path: Path) -> None:
    door.refusals = 2
    ended = first_boot(tmp_path, door, "home")
    assert ended.returncode == 0, ended.stderr
    asked = [(method, path) for method, path, _, _ in door.told]
    assert asked == [("POST", "/agent/home")] * 3 + [("GET", "/agent/archive")]
    assert {authorization for _, _, authorization, _ in door.told} == {"Bearer abc"}
    said = door.told[2][3]
    assert said["request"] == "r1"
    assert said["ssh_host_keys"] == ['ssh-ed25519 AAAA "root"@n\\1']
    assert said["os"]["name"] == "Debian 12 (bookworm)"
    archive = tmp_path / "usr/local/lib/rackwright/agent.pyz"
    assert archive.read_bytes() == b"PK\x00archive\r\n\r\nof the agent"
    assert (tmp_path / "var/lib/rackwright/at-home").exists()


def test_an_installer_tells_that_it_is_done(door: Door, tmp_path: Path) -> None:
    door.refusals = 1
    assert first_boot(tmp_path, door, "installed").returncode == 0
    assert [(path, body) for _, path, _, body in door.told] == [("/agent/installed", {"request": "r1"})] * 2


def test_an_installer_that_nobody_hears_fails_with_the_answer(door: Door, tmp_path: Path) -> None:
    door.refusals = 9
    ended = first_boot(tmp_path, door, "installed")
    assert ended.returncode == 1
    assert "the rack answered 503" in ended.stderr


# ---- finding disks


def find_disk(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Run the function on a folder that stands for /sys/block."""
    program = text("templates/find-disk.sh").replace("/sys/block", str(folder)) + '\nfind_disk "$@"\n'
    return subprocess.run(["/bin/sh", "-c", program, "sh", *words], capture_output=True, text=True, check=False)


@pytest.fixture
def blocks(tmp_path: Path) -> Path:
    serials = {"vda": ("serial", b"ONE"), "sda": ("device/serial", b" TWO \n"), "loop0": ("serial", b"ONE"),
               "sdb": ("device/vpd_pg80", b"\x00\x80\x00\x05THREE"), "sdc": ("device/serial", b"TWICE"),
               "sdd": ("device/serial", b"TWICE"), "sde": ("device/model", b"none")}  # fmt: skip
    for name, (file, said) in serials.items():
        (tmp_path / name / "device").mkdir(parents=True)
        (tmp_path / name / file).write_bytes(said)
        (tmp_path / name / "size").write_text("4096\n")
    return tmp_path


@pytest.mark.parametrize(
    ("serial", "path", "found"),
    [("ONE", "", "/dev/vda"), ("TWO", "", "/dev/sda"), ("THREE", "", "/dev/sdb"), ("", "/dev/sde", "/dev/sde"),
     ("TWICE", "/dev/sdd", "/dev/sdd")],
)  # fmt: skip
def test_an_installer_finds_a_disk_by_what_the_inventory_said_of_it(
    blocks: Path, serial: str, path: str, found: str
) -> None:
    assert find_disk(blocks, serial, path, str(BYTES)).stdout == f"{found}\n"


@pytest.mark.parametrize(
    ("serial", "size", "reason"),
    [("GONE", BYTES, "0 disks"), ("TWICE", BYTES, "2 disks"), ("ONE", BYTES + 512, "nothing is written")],
)
def test_an_installer_writes_nothing_where_no_disk_fits_exactly(
    blocks: Path, serial: str, size: int, reason: str
) -> None:
    ended = find_disk(blocks, serial, "", str(size))
    assert (ended.returncode, ended.stdout) == (1, "")
    assert reason in ended.stderr


# ---- placing files


def test_the_files_of_a_system_are_placed_as_they_are_said(tmp_path: Path) -> None:
    seed = answers.image_seed(wish(BONDED), text, cloud_init=False, network="networkd")
    moved = [
        {
            **file,
            "path": f"{tmp_path}{file['path']}",
            **({"link": f"{tmp_path}{file['link']}"} if "link" in file else {}),
        }
        for file in seed
    ]
    ended = subprocess.run(
        ["/bin/bash", "-c", answers.place_script(moved)], capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stderr
    for file in seed:
        there = Path(f"{tmp_path}{file['path']}")
        if "link" in file:
            assert there.is_symlink()
            continue
        assert there.read_text() == file["content"]
        assert there.stat().st_mode & 0o777 == int(file["mode"], 8)


@pytest.mark.parametrize("layout", ["flat", "lvm", "raid1"])
def test_debconf_takes_the_answers_for_debians_installer(tmp_path: Path, layout: str) -> None:
    program = shutil.which("debconf-set-selections")
    if program is None:
        pytest.skip("the program debconf-set-selections is not installed")
    file = tmp_path / "preseed.cfg"
    file.write_text(answers.preseed(wish(BONDED, storage={"layout": layout}), text)["preseed.cfg"])
    ended = subprocess.run([program, "--checkonly", file], capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stderr) == (0, "")


@pytest.mark.parametrize("name", ["preseed.cfg", "disks.sh", "place.sh"])
def test_what_debians_installer_runs_is_sound_for_its_shell(name: str) -> None:
    said = answers.preseed(wish(BONDED), text)[name]
    commands = [line.split(" string ", 1)[1] for line in said.splitlines() if "_command string " in line] or [said]
    for command in commands:
        ended = subprocess.run(["/bin/sh", "-n", "-c", command], capture_output=True, text=True, check=False)
        assert ended.returncode == 0, ended.stderr
