"""The boot scripts, carried out by Debian's iPXE in a machine of its own, BIOS and UEFI; no root is needed."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.integration.door_world import MACS, World, world

IPXE, OVMF = Path("/usr/lib/ipxe"), Path("/usr/share/OVMF")
QEMU = "qemu-system-x86_64"
PATIENCE = 600.0

needs_machine = pytest.mark.skipif(
    shutil.which(QEMU) is None or not (IPXE / "ipxe.lkrn").exists() or not (OVMF / "OVMF_CODE_4M.fd").exists(),
    reason="needs the Debian packages qemu-system-x86, ipxe, ipxe-qemu and ovmf",
)
pytestmark = [pytest.mark.slow, needs_machine]


@asynccontextmanager
async def machine(here: World, *words: str) -> AsyncIterator[Path]:
    """A machine that boots by the door's URL for strangers; gives the file with what its console shows."""
    port = here.url.rpartition(":")[2]
    boot = f"http://10.0.2.2:{port}/boot/ipxe?mac=${{netX/mac}}&firmware=${{platform}}"
    console = Path(here.images.folder).parent / "console"
    arguments = (
        *("-M", "q35", "-accel", "tcg", "-m", "256", "-nographic", "-monitor", "none", "-serial", f"file:{console}"),
        *("-netdev", f"user,id=n,restrict=off,bootfile={boot}", *words),
    )
    process = await asyncio.create_subprocess_exec(QEMU, *arguments, stdin=asyncio.subprocess.DEVNULL)
    try:
        yield console
    finally:
        process.kill()
        await process.wait()


async def shows(console: Path, text: str) -> None:
    async with asyncio.timeout(PATIENCE):
        while not console.exists() or text not in console.read_text(errors="replace"):
            await asyncio.sleep(0.2)


async def test_a_bios_machine_without_a_disk_asks_again_and_boots_what_is_served_by_then(tmp_path: Path) -> None:
    async with world(tmp_path) as here:
        kernel = (IPXE / "ipxe.lkrn").read_bytes()
        image = here.region.image("discovery", kernel=kernel, ramdisk=b"R" * 100_000)
        await here.serve(1, kind="local", request="q1")
        async with machine(here, "-device", f"virtio-net-pci,netdev=n,mac={MACS[1]},bootindex=0") as console:
            await shows(console, "Rackwright: n1 boots its own disk")
            await shows(console, "Booting from SAN device 0x80")
            await shows(console, "the rack is asked again in 5 seconds")
            await here.serve(1, kind="discovery", request="q2")
            await shows(console, "Rackwright: n1 boots discovery 1 (discovery)")
            # The kernel is iPXE itself, which takes the arguments for a command and says what it does not know.
            await shows(console, "BOOTIF=01-52-54-00-00-00-01: command not found")
        assert {sha256 for sha256, _ in here.region.fetched} == {file.sha256 for file in image.files}


async def test_uefi_goes_on_to_the_next_boot_entry_when_the_disk_is_to_be_booted(tmp_path: Path) -> None:
    shutil.copy(OVMF / "OVMF_VARS_4M.fd", tmp_path / "vars.fd")
    drives = []
    for index, loader in enumerate(("ipxe.efi", "snponly.efi")):
        folder = tmp_path / f"disk{index}" / "EFI" / "BOOT"
        folder.mkdir(parents=True)
        shutil.copy(IPXE / loader, folder / "BOOTX64.EFI")
        drives += ["-drive", f"file=fat:rw:{tmp_path}/disk{index},format=raw,if=none,id=d{index}"]
        drives += ["-device", f"virtio-blk-pci,drive=d{index},bootindex={index}"]
    flash = (
        *("-drive", f"if=pflash,unit=0,format=raw,readonly=on,file={OVMF}/OVMF_CODE_4M.fd"),
        *("-drive", f"if=pflash,unit=1,format=raw,file={tmp_path}/vars.fd"),
    )
    card = ("-device", f"virtio-net-pci,netdev=n,mac={MACS[1]},romfile=")
    async with world(tmp_path) as here:
        await here.serve(1, kind="local", request="q1")
        async with machine(here, *flash, *drives, *card) as console:
            await shows(console, "Rackwright: n1 boots its own disk")
            await shows(console, "BdsDxe: starting Boot0002")
