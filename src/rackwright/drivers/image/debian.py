"""A small Debian as a disk image: one system that starts under BIOS and UEFI, with a serial console, for first boots
that are told everything by seeded files.

The disk is put together from plain files, without loop devices. Its first partition is FAT: it holds kernel and ramdisk
once, with systemd-boot for UEFI and syslinux for BIOS beside them. The second one is the root, ext4 with blocks of
4 KiB. Only mmdebstrap needs root.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import tempfile
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import zstandard
from msgspec.structs import replace

from rackwright.core.images import ImageFile, Manifest
from rackwright.drivers.image import packages, resolution, sameness, workshop
from rackwright.drivers.image.discovery import described

HERE = Path(__file__).parent
SUITE = "bookworm"
VERSION = "12"
MIB = 1 << 20
ESP_BYTES = 72 * MIB
SPARE_BYTES = 48 * MIB
"""What the root file system has beyond its files, before it is grown to its disk."""
ROOT_PARTITION = 2
_FIRST = MIB
_ARGUMENTS = "ro console=tty0 console=ttyS0,115200 quiet"
_NAMESPACE = uuid.UUID("6f0b0c43-8a55-5c8c-9f6e-6d1b7f1b2a31")

_INCLUDE = (
    "ca-certificates", "dbus", "e2fsprogs", "iproute2", "kmod", "less", "linux-image-cloud-amd64", "netbase",
    "openssh-server", "python3", "systemd", "systemd-resolved", "systemd-sysv", "udev",
)  # fmt: skip
_TOOLS = ("dosfstools", "mtools", "syslinux", "syslinux-common", "systemd-boot-efi")
_LAYOUTS = ("busybox", "lvm2", "mdadm")
"""What lets the root stand on a volume or a mirror; the scripts of mdadm in the ramdisk want programs of busybox."""
_KERNEL = re.compile(r"linux-image-[0-9.]+-[0-9]+-cloud-amd64")
"""The package that the meta package of the kernel pulls in."""
_MODULES = ("virtio_pci", "virtio_blk", "virtio_scsi", "sd_mod", "virtio_net", "ext4", "nvme")
_LAYOUT_MODULES = ("dm_mod", "raid1")
_LEFT_OUT = ("usr/share/doc/*", "usr/share/man/*", "usr/share/locale/*", "usr/share/info/*")
_FILES: Mapping[str, str] = {
    "etc/initramfs-tools/conf.d/rackwright": "MODULES=list\nCOMPRESS=zstd\n",
    "etc/systemd/network/80-dhcp.network": "[Match]\nName=en* eth*\n\n[Network]\nDHCP=yes\n\n[DHCPv4]\n"
    "UseDomains=yes\nClientIdentifier=mac\n",
    "etc/systemd/system/ssh.service.d/keys.conf": "[Service]\nExecStartPre=\nExecStartPre=/usr/bin/ssh-keygen -A\n"
    "ExecStartPre=/usr/sbin/sshd -t\n",
    "etc/ssh/sshd_config.d/rackwright.conf": "PasswordAuthentication no\nPermitRootLogin prohibit-password\n",
    "etc/kernel/postinst.d/zz-rackwright": (HERE / "new-kernel.sh").read_text(),
    "etc/hosts": "127.0.0.1 localhost\n::1 localhost ip6-localhost\n",
    "etc/hostname": "debian\n",
}
"""What is ours in the system, by path."""


class _Ids(NamedTuple):
    """Identities of the disk and its parts. They follow from what it is made of, so that a build can be repeated."""

    disk: uuid.UUID
    esp: uuid.UUID
    root: uuid.UUID
    fs: uuid.UUID

    @property
    def serial(self) -> str:
        """Of the FAT of the boot partition: eight hexadecimal digits."""
        return f"{self.esp.fields[0]:08x}"

    @property
    def fat(self) -> str:
        """The same as Linux writes it. Every disk of a mirror has a boot partition, and all of these have it."""
        return f"{self.serial[:4]}-{self.serial[4:]}".upper()


@dataclass(frozen=True)
class _Recipe:
    """What becomes part of the system."""

    include: tuple[str, ...] = _INCLUDE
    modules: tuple[str, ...] = _MODULES
    """Those that the ramdisk has."""

    @property
    def files(self) -> dict[str, str]:
        """What is ours in the system, by path."""
        return {**_FILES, "etc/initramfs-tools/modules": "".join(f"{name}\n" for name in self.modules)}


def build(
    output: Path, cache: Path, tell: Callable[[str], None] = lambda text: None, *, layouts: bool = False
) -> Manifest:
    """Build the image into ``output``: ``disk.zst`` and, unsigned, what the manifest says. With ``layouts`` its root
    can also stand on a volume or a mirror; it is a little larger then. It is built again only when the recipe, a tool,
    or any package that becomes part of it differs, also one that others pull in (see ``resolution``). Raises Permanent,
    Retryable or InvalidInput."""
    recipe = _Recipe((*_INCLUDE, *_LAYOUTS), (*_MODULES, *_LAYOUT_MODULES)) if layouts else _Recipe()
    found = packages.find(_TOOLS)
    texts = [
        *(HERE.joinpath(name).read_bytes() for name in ("debian.py", "sameness.py")),
        *(text.encode() for text in (*recipe.include, *recipe.files.values())),
    ]
    texts_key = hashlib.sha256(b"\0".join(texts)).hexdigest()
    kept = cache / f"debian-{texts_key[:20]}.packages"
    with workshop.alone(kept.with_suffix(".lock")):
        system = resolution.resolved(lambda: _simulated(recipe, cache), kept, tell)
    key = packages.key(found, texts_key, *(f"{name}={version}" for name, version in sorted(system.items())))

    def make(work: Path) -> None:
        tools = packages.fetch(found, cache / "packages")
        _make(recipe, tools, lambda made: resolution.check(made, system, kept), key, work, tell)

    made = workshop.made(cache, f"debian-{key}", make)
    output.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(made / "disk.zst", output / "disk.zst")
    raw, size, when = (made / "raw").read_text().split()
    version = next(version for name, version in system.items() if _KERNEL.fullmatch(name))
    return Manifest(
        name=f"debian-{VERSION}",
        version=f"{VERSION}+{version}.{key[:8]}",
        kind="disk",
        files=(replace(_packed(output / "disk.zst"), raw_bytes=int(size), raw_sha256=raw),),
        properties={
            "cloud_init": False,
            "root": ROOT_PARTITION,
            "os": {"id": "debian", "version": VERSION},
            "user": "root",
            "network": "networkd",
            **({"layouts": ["lvm", "raid1"]} if layouts else {}),
        },
        arguments=_ARGUMENTS,
        made_at=float(when),
    )


def _packed(file: Path) -> ImageFile:
    return described(file, "disk", "zstd")


def _make(
    recipe: _Recipe, tools: list[Path], check: Callable[[Path], None], key: str, work: Path, tell: Callable[[str], None]
) -> None:
    system, unpacked, made = work / "system", work / "tools", work / "made"
    packages.unpack(tools, unpacked)
    made.mkdir()
    tell("installing packages (mmdebstrap)")
    began = time.time()
    _install(recipe, system, work, unpacked)
    check(system)
    ids = _Ids(*(uuid.uuid5(_NAMESPACE, f"{key} {name}") for name in _Ids._fields))
    when = int(max(path.stat().st_mtime for path in (system / "boot").glob("vmlinuz-*")))
    tell("putting the disk together")
    _finish(system, ids)
    sameness.settle_files(system, began, when)
    esp = _boot_partition(system, unpacked, work, ids, when)
    disk = work / "disk"
    _disk(disk, esp, _root_partition(system, work, ids, when), unpacked, ids)
    tell("packing the disk")
    digest = _pack(disk, made / "disk.zst")
    (made / "raw").write_text(f"{digest} {disk.stat().st_size} {when}")


def _pack(disk: Path, into: Path) -> str:
    """Pack a disk by zstd; gives the SHA-256 of what is in it."""
    parameters = zstandard.ZstdCompressionParameters.from_level(9, window_log=23, write_checksum=True, threads=2)
    total, packer = hashlib.sha256(), zstandard.ZstdCompressor(compression_params=parameters)
    with disk.open("rb") as raw, into.open("wb") as file, packer.stream_writer(file, closefd=False) as packed:
        while piece := raw.read(4 * MIB):
            total.update(piece)
            packed.write(piece)
    return total.hexdigest()


def _simulated(recipe: _Recipe, cache: Path) -> str:
    """What apt would install, in its own words. The archive is asked; nothing is fetched but its lists."""
    with tempfile.TemporaryDirectory(dir=cache) as folder:
        words = _mmdebstrap(recipe, "--verbose", "--simulate", SUITE, folder)
        return packages.carried_out(words).stderr.decode(errors="replace")


def _mmdebstrap(recipe: _Recipe, *more: str) -> list[str]:
    """The command by which the system is installed. What it mounts is mounted for its processes alone, which end with
    the build."""
    return [
        *("setpriv", "--pdeathsig", "KILL", "--"),
        *("unshare", "--mount", "--pid", "--fork", "--kill-child=KILL", "--mount-proc", "--"),
        *("mmdebstrap", "--variant=minbase", f"--include={','.join(recipe.include)}"),
        '--aptopt=Apt::Install-Recommends "false"',
        *more,
    ]


def _install(recipe: _Recipe, system: Path, work: Path, tools: Path) -> None:
    """Our files are there before the packages are, so that the ramdisk is made as they say. The date that programs are
    told is that of a tool: the same for the same packages."""
    when = int((tools / "usr/lib/systemd/boot/efi/systemd-bootx64.efi").stat().st_mtime)
    ours = work / "ours"
    for path, text in recipe.files.items():
        file = ours / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        file.chmod(0o755 if text.startswith("#!") else 0o644)
    words = _mmdebstrap(
        recipe,
        *(f"--dpkgopt=path-exclude=/{pattern}" for pattern in _LEFT_OUT),
        f"--essential-hook=mkdir -p $1/etc/initramfs-tools/conf.d; cp -a {ours}/etc/initramfs-tools $1/etc/",
        SUITE,
        str(system),
    )
    packages.run(words, more={"SOURCE_DATE_EPOCH": str(when)})
    for path in recipe.files:
        target = system / path
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ours / path, target)


def _finish(system: Path, ids: _Ids) -> None:
    """What makes it a system of its own at each first boot."""
    for key in (system / "etc/ssh").glob("ssh_host_*"):
        key.unlink()
    (system / "etc/machine-id").write_text("")
    (system / "var/lib/dbus/machine-id").unlink(missing_ok=True)
    (system / "boot/efi").mkdir(exist_ok=True)
    (system / "etc/fstab").write_text(
        f"UUID={ids.fs} / ext4 errors=remount-ro 0 1\nUUID={ids.fat} /boot/efi vfat umask=0077,nofail 0 2\n"
    )
    resolver = system / "etc/resolv.conf"
    resolver.unlink(missing_ok=True)
    resolver.symlink_to("/run/systemd/resolve/stub-resolv.conf")
    for folder in ("var/cache/apt/archives", "var/lib/apt/lists", "var/log/apt", "tmp"):
        for path in (system / folder).glob("*"):
            shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
    wants = system / "etc/systemd/system"
    links = {
        "multi-user.target.wants/systemd-networkd.service": "systemd-networkd.service",
        "multi-user.target.wants/systemd-resolved.service": "systemd-resolved.service",
        "multi-user.target.wants/ssh.service": "ssh.service",
        "getty.target.wants/serial-getty@ttyS0.service": "serial-getty@.service",
    }
    for link, unit in links.items():
        path = wants / link
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.is_symlink():
            path.symlink_to(f"/lib/systemd/system/{unit}")


def _boot_partition(system: Path, tools: Path, work: Path, ids: _Ids, when: int) -> Path:
    """FAT with kernel, ramdisk and both loaders."""
    esp, environment = work / "esp", {"MTOOLS_SKIP_CHECK": "1", "SOURCE_DATE_EPOCH": str(when)}
    arguments = f"root=UUID={ids.fs} {_ARGUMENTS}"
    texts = {
        "loader.conf": "timeout 0\ndefault debian\neditor no\n",
        "debian.conf": f"title Debian\nlinux /vmlinuz\ninitrd /initrd.img\noptions {arguments}\n",
        "syslinux.cfg": f"DEFAULT debian\nPROMPT 0\nTIMEOUT 1\nLABEL debian\n  LINUX /vmlinuz\n  INITRD /initrd.img\n"
        f"  APPEND {arguments}\n",
    }
    for name, text in texts.items():
        (work / name).write_text(text)
    (kernel,) = (system / "boot").glob("vmlinuz-*")
    (initrd,) = (system / "boot").glob("initrd.img-*")
    places = {
        "vmlinuz": kernel,
        "initrd.img": initrd,
        "syslinux.cfg": work / "syslinux.cfg",
        "ldlinux.c32": tools / "usr/lib/syslinux/modules/bios/ldlinux.c32",
        "loader/loader.conf": work / "loader.conf",
        "loader/entries/debian.conf": work / "debian.conf",
        "EFI/BOOT/BOOTX64.EFI": tools / "usr/lib/systemd/boot/efi/systemd-bootx64.efi",
    }
    with esp.open("wb") as file:
        file.truncate(ESP_BYTES)
    hidden = str(_FIRST // 512)
    words = ["--invariant", "-F", "32", "-h", hidden, "-i", ids.serial, "-n", "BOOT", str(esp)]
    packages.run([str(tools / "sbin/mkfs.vfat"), *words])
    mtools = str(tools / "usr/bin/mtools")
    for folder in ("EFI", "EFI/BOOT", "loader", "loader/entries"):
        packages.run([mtools, "-c", "mmd", "-i", str(esp), f"::{folder}"], more=environment)
    for place, source in places.items():
        packages.run([mtools, "-c", "mcopy", "-i", str(esp), str(source), f"::{place}"], more=environment)
    path = f"{tools / 'usr/bin'}:{os.environ.get('PATH', '/usr/bin:/bin')}"
    packages.run([str(tools / "usr/bin/syslinux"), "--install", str(esp)], more={**environment, "PATH": path})
    return esp


def _root_partition(system: Path, work: Path, ids: _Ids, when: int) -> Path:
    root = work / "root"
    used = sum(max(4096, -(-path.lstat().st_size // 4096) * 4096) for path in system.rglob("*"))
    size = -(-(used * 11 // 10 + SPARE_BYTES) // MIB)
    words = ["mke2fs", "-q", "-t", "ext4", "-b", "4096", "-L", "root", "-U", str(ids.fs), "-d", str(system)]
    words += ["-E", f"hash_seed={ids.fs},root_owner=0:0", str(root), f"{size}M"]
    packages.run(words, more={"E2FSPROGS_FAKE_TIME": str(when), "SOURCE_DATE_EPOCH": str(when)})
    sameness.settle_inodes(root, when, work / "times")
    return root


def _disk(disk: Path, esp: Path, root: Path, tools: Path, ids: _Ids) -> None:
    """A GUID partition table over both; the first sector's code starts the partition that is marked for BIOS."""
    starts = (_FIRST, _FIRST + ESP_BYTES)
    end = starts[1] + root.stat().st_size
    with disk.open("wb") as file:
        file.truncate(end + MIB)
        for start, part in zip(starts, (esp, root), strict=True):
            file.seek(start)
            with part.open("rb") as source:
                shutil.copyfileobj(source, file, 4 * MIB)
    words = ["sgdisk", "--disk-guid", str(ids.disk)]
    for number, (begin, last, kind, name, id) in enumerate(
        (
            (starts[0] // 512, starts[1] // 512 - 1, "ef00", "boot", ids.esp),
            (starts[1] // 512, end // 512 - 1, "8304", "root", ids.root),
        ),
        start=1,
    ):
        words += ["-n", f"{number}:{begin}:{last}", "-t", f"{number}:{kind}", "-c", f"{number}:{name}"]
        words += ["-u", f"{number}:{id}"]
    packages.run([*words, "-A", "1:set:2", str(disk)])
    code = (tools / "usr/lib/syslinux/mbr/gptmbr.bin").read_bytes()
    with disk.open("r+b") as file:
        file.write(code[:440])
