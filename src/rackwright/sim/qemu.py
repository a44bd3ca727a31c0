"""QEMU's command line for a machine, and the programs and files that it takes.

Software emulation (TCG) is used on purpose: it works on every host, also inside of other virtual machines.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from pathlib import Path

from rackwright.core.errors import InvalidInput
from rackwright.sim.shape import Device, Shape

QEMU = "qemu-system-x86_64"
UEFI_CODE = Path("/usr/share/OVMF/OVMF_CODE_4M.fd")
UEFI_VARIABLES = Path("/usr/share/OVMF/OVMF_VARS_4M.fd")
NETWORK_ROM = Path("/usr/lib/ipxe/qemu/efi-virtio.rom")
"""iPXE as the network card's boot ROM, for BIOS. QEMU takes it by itself, and only then fits it to the card."""

NEEDED: dict[str, str] = {
    QEMU: "qemu-system-x86",
    "qemu-img": "qemu-utils",
    "setpriv": "util-linux",
    str(UEFI_CODE): "ovmf",
    str(NETWORK_ROM): "ipxe-qemu",
}
"""Programs (by name) and files (by path), each with the Debian package that brings it."""

PLACES = ("/usr/sbin", "/sbin", "/usr/bin", "/bin")


def missing(needed: Mapping[str, str]) -> dict[str, str]:
    """What of ``needed`` is not on this host, with its package."""
    return {thing: package for thing, package in needed.items() if not _is_there(thing)}


def check(needed: Mapping[str, str]) -> None:
    """Raise InvalidInput that names the Debian packages to install, when something of ``needed`` is missing."""
    lacking = missing(needed)
    if lacking:
        packages = " ".join(sorted(set(lacking.values())))
        raise InvalidInput(
            f"these are not installed: {', '.join(sorted(lacking))}", mend=f"apt-get install --yes {packages}"
        )


def found(program: str) -> str:
    """The path of a program; system folders count although they are not in everyone's PATH."""
    path = os.pathsep.join((os.environ.get("PATH", ""), *PLACES))
    return shutil.which(program, path=path) or program


def command(shape: Shape, folder: Path, order: tuple[Device, ...]) -> list[str]:
    """The words that start the machine, which boots from the first of ``order`` that works. Everything that it keeps
    is in ``folder``. The machine is killed when its starter dies."""
    return [
        *(found("setpriv"), "--pdeathsig", "KILL", "--", found(QEMU)),
        *("-name", shape.name, "-machine", "q35,graphics=off", "-accel", "tcg", "-m", str(shape.memory), "-smp", "1"),
        *("-nodefaults", "-no-user-config", "-display", "none", "-boot", "menu=off,strict=on"),
        *("-uuid", str(shape.uuid), "-smbios", _identity(shape)),
        *("-qmp", f"unix:{folder / 'qmp'},server=on,wait=off"),
        *("-chardev", f"socket,id=console,path={folder / 'console'},server=on,wait=off,"
          f"logfile={folder / 'console.log'},logappend=on"),
        *("-serial", "chardev:console"),
        *("-object", "rng-random,id=rng,filename=/dev/urandom", "-device", "virtio-rng-pci,rng=rng"),
        *_firmware(shape, folder),
        *_disk(shape, folder, order),
        *_nics(shape, order),
    ]  # fmt: skip


def devices(shape: Shape) -> dict[Device, str]:
    """QEMU's names for what the machine can boot."""
    return {"network": "nic0", "disk": "disk0"} if shape.nics else {"disk": "disk0"}


def boot_index(device: Device, order: tuple[Device, ...]) -> int:
    """The place of a device in the order, from 1 up; what is not in it comes last."""
    return order.index(device) + 1 if device in order else len(order) + 1


def _identity(shape: Shape) -> str:
    return f"type=1,manufacturer=Rackwright,product=Lab machine,serial={shape.serial},uuid={shape.uuid}"


def _firmware(shape: Shape, folder: Path) -> list[str]:
    if shape.firmware == "bios":
        return []
    return [
        *("-drive", f"if=pflash,unit=0,format=raw,readonly=on,file={UEFI_CODE}"),
        *("-drive", f"if=pflash,unit=1,format=raw,file={folder / 'variables.fd'}"),
    ]


def _disk(shape: Shape, folder: Path, order: tuple[Device, ...]) -> list[str]:
    device = f"virtio-blk-pci,id=disk0,drive=disk,serial={shape.disk_serial},bootindex={boot_index('disk', order)}"
    return ["-drive", f"id=disk,if=none,format=qcow2,discard=unmap,file={folder / 'disk.qcow2'}", "-device", device]


def _nics(shape: Shape, order: tuple[Device, ...]) -> list[str]:
    # UEFI brings a driver and PXE of its own; with a ROM too, each would offer the same card.
    rom = "" if shape.firmware == "bios" else ",romfile="
    words = []
    for nic in range(shape.nics):
        index = f",bootindex={boot_index('network', order)}" if nic == 0 else ""
        words += ["-netdev", f"tap,id=net{nic},ifname={shape.tap(nic)},script=no,downscript=no"]
        words += ["-device", f"virtio-net-pci,id=nic{nic},netdev=net{nic},mac={shape.mac(nic)}{rom}{index}"]
    return words


def _is_there(thing: str) -> bool:
    return Path(thing).exists() if thing.startswith("/") else os.path.isabs(found(thing))
