"""One QEMU machine for tests of images: it boots the discovery system from files, or what is on its disks."""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from rackwright.drivers.image import discovery
from rackwright.sim.qemu import UEFI_CODE, UEFI_VARIABLES
from tests.integration.agent_door import AgentDoor

MIB = 1 << 20
MAC = "52:54:00:12:34:56"


@dataclass(frozen=True)
class Drive:
    """A disk of the machine, by its file; ``device`` is QEMU's name of what it is attached by."""

    file: Path
    serial: str
    device: str = "virtio-blk-pci"

    @property
    def words(self) -> list[str]:
        """QEMU's words for it."""
        backend = f"file={self.file},format=raw,if=none,id={self.serial},discard=unmap"
        return ["-drive", backend, "-device", f"{self.device},drive={self.serial},serial={self.serial}"]


@contextmanager
def discovering(image: Path, drives: Sequence[Drive], door: AgentDoor, *besides: str) -> Iterator[Path]:
    """A machine that boots the discovery system of a folder, with further ramdisks of it; gives the file of its
    console."""
    folder = drives[0].file.parent
    initial = folder / "initial"
    with initial.open("wb") as file:
        for part in ("ramdisk", *besides):
            data = (image / part).read_bytes()
            file.write(data + bytes(-len(data) % 4))
    port = door.url.rpartition(":")[2]
    words = f"{discovery.ARGUMENTS} rackwright.door=http://10.0.2.2:{port} rackwright.token=first rackwright.mac={MAC}"
    with _running(
        folder, drives, ["-kernel", str(image / "kernel"), "-initrd", str(initial), "-append", words]
    ) as told:
        yield told


@contextmanager
def booting(drives: Sequence[Drive], firmware: str) -> Iterator[Path]:
    """A machine that boots its first disk by ``bios`` or ``uefi``; gives the file of its console."""
    folder, words = drives[0].file.parent, list[str]()
    if firmware == "uefi":
        variables = folder / "variables.fd"
        shutil.copyfile(UEFI_VARIABLES, variables)
        words = ["-drive", f"if=pflash,unit=0,format=raw,readonly=on,file={UEFI_CODE}"]
        words += ["-drive", f"if=pflash,unit=1,format=raw,file={variables}"]
    with _running(folder, drives, words) as told:
        yield told


def wait_for(console: Path, text: str, seconds: float = 300.0) -> None:
    """Wait until a console says this."""
    end = time.monotonic() + seconds
    while text not in (said := console.read_text(errors="replace") if console.exists() else ""):
        assert time.monotonic() < end, f"not on the console: {text}\n{said[-3000:]}"
        time.sleep(0.5)


@contextmanager
def _running(folder: Path, drives: Sequence[Drive], words: Sequence[str]) -> Iterator[Path]:
    console = folder / "console"
    console.unlink(missing_ok=True)
    command = [
        "qemu-system-x86_64", "-machine", "q35", "-accel", "tcg", "-m", "512", "-display", "none",
        "-serial", f"file:{console}", "-monitor", "none", "-no-reboot",
        "-netdev", "user,id=n", "-device", f"virtio-net-pci,netdev=n,mac={MAC},romfile=",
        *words, *(word for drive in drives for word in drive.words),
    ]  # fmt: skip
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL)
    try:
        yield console
    finally:
        process.kill()
        process.wait()
