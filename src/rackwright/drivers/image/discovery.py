"""The discovery image: a kernel of Debian and a ramdisk with the agent. It also is the rescue system, and the one that
writes images.

``lab`` has drivers for virtio only and stays small; ``generic`` has those of Debian's own kernel for networks and
disks, with their firmware.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from pathlib import Path

import rackwright
from rackwright.core.errors import Permanent
from rackwright.core.images import Compression, ImageFile, Manifest, Part
from rackwright.drivers.image import modules, packages, ramdisk, small_python, workshop

HERE = Path(__file__).parent
PRODUCT = Path(rackwright.__file__).parent.parent
RAMDISKS: tuple[Part, ...] = ("ramdisk", "rescue", "storage")
"""The second and the third one come over the first where they are needed."""
AGENT_MODULES = ("rackwright.agent.__main__",)
ARGUMENTS = "console=tty0 console=ttyS0,115200 quiet"
"""Both consoles; the last one is the one that the first process speaks to."""

_COMMON = (
    "busybox",
    "dropbear-bin",
    "libc6",
    "libcrypt1",
    "libexpat1",
    "libffi8",
    "libgmp10",
    "libpython3.11-minimal",
    "libpython3.11-stdlib",
    "libtomcrypt1",
    "libtommath1",
    "python3.11-minimal",
    "zlib1g",
    "zstd",
)
_STORAGE = (
    "dmsetup", "libaio1", "libblkid1", "libbsd0", "libcap2", "libdevmapper-event1.02.1", "libdevmapper1.02.1",
    "libedit2", "libgcrypt20", "libgpg-error0", "libmd0", "libpcre2-8-0", "libselinux1", "libsystemd0", "libtinfo6",
    "libudev1", "lvm2", "mdadm",
)  # fmt: skip
_STORAGE_MODULES = ("dm_mod", "raid1")
"""What images are laid out with over volumes and mirrors; it comes in a ramdisk of its own."""
_ZSTD_LIBRARIES = ("libgcc-s1", "liblz4-1", "liblzma5", "libstdc++6", "libzstd1")


@dataclass(frozen=True)
class Variant:
    """One kind of discovery image."""

    kernel: str
    """Debian's meta package."""
    pattern: str
    """Of the package that it stands for."""
    always: tuple[str, ...]
    """Modules that are loaded in any case, by name."""
    folders: tuple[str, ...] = ()
    """Folders of modules that are looked up by what the machine has."""
    more: tuple[str, ...] = ()
    """Further packages: firmware, and programs that look modules up or have disks erase themselves."""
    programs: tuple[str, ...] = ()
    """Of these packages, what the agent runs."""
    level: int = ramdisk.LEVEL
    """Of zstd: the large ramdisk would take minutes at the highest."""
    optional: tuple[str, ...] = ()
    """Firmware that is taken where apt has it: Debian keeps it in the component non-free-firmware."""


_VIRTIO = ("virtio_pci", "virtio_blk", "virtio_net")
_BUTTON = ("button", "evdev")
"""By these the power button is heard."""
VARIANTS = {
    "lab": Variant("linux-image-cloud-amd64", r"linux-image-[0-9.]+-[0-9]+-cloud-amd64", (*_VIRTIO, *_BUTTON)),
    "generic": Variant(
        "linux-image-amd64",
        r"linux-image-[0-9.]+-[0-9]+-amd64",
        (
            "crc32c_generic", *_VIRTIO, "virtio_scsi", "sd_mod", "ext4", "vfat", "xfs", "ipmi_si", "ipmi_devintf",
            "efivarfs", "dmi_sysfs", "usbhid",
        ),
        (
            "kernel/drivers/net/ethernet", "kernel/drivers/net/phy", "kernel/drivers/net/mdio", "kernel/net",
            "kernel/drivers/scsi", "kernel/drivers/ata", "kernel/drivers/nvme", "kernel/drivers/block",
            "kernel/drivers/md", "kernel/drivers/virtio", "kernel/drivers/usb", "kernel/drivers/hid",
            "kernel/drivers/message", "kernel/drivers/char/ipmi", "kernel/drivers/firmware", "kernel/fs/nls",
            "kernel/crypto", "kernel/lib", "kernel/drivers/i2c", "kernel/drivers/dca", "kernel/drivers/ptp",
            "kernel/drivers/pps", "kernel/drivers/infiniband/core", "kernel/arch/x86/crypto", "kernel/drivers/mfd",
        ),
        ("firmware-linux-free", "hdparm", "kmod", "libkmod2", "libssl3"),
        ("sbin/hdparm",),
        10,
        ("firmware-bnx2", "firmware-bnx2x", "firmware-qlogic", "firmware-realtek", "firmware-netronome"),
    ),
}  # fmt: skip


def build(variant: str, output: Path, cache: Path, tell: Callable[[str], None] = lambda text: None) -> Manifest:
    """Build the image into ``output``: ``kernel``, ``ramdisk`` and, unsigned, what the manifest says. It is built again
    only when a package, the agent or the recipe differs. Raises Permanent, Retryable or InvalidInput."""
    wanted = VARIANTS[variant]
    kernel = packages.meant_by(wanted.kernel, wanted.pattern)
    more = (*wanted.more, *packages.known(wanted.optional))
    found = packages.find([kernel, *_COMMON, *_STORAGE, *_ZSTD_LIBRARIES, *more])

    def make(work: Path) -> None:
        tell(f"{len(found)} packages, kernel {kernel}")
        _make(wanted, packages.fetch(found, cache / "packages"), work, tell)

    made = workshop.made(cache, f"discovery-{variant}-{packages.key(found, _recipe(), variant)}", make)
    output.mkdir(parents=True, exist_ok=True)
    for name in ("kernel", *RAMDISKS):
        shutil.copyfile(made / name, output / name)
    version = next(package.version for package in found if package.name == kernel)
    return Manifest(
        name="discovery",
        version=f"{version}+{rackwright.__version__}.{variant}",
        kind="discovery",
        files=(
            described(output / "kernel", "kernel"),
            *(described(output / part, part, "zstd") for part in RAMDISKS),
        ),
        arguments=ARGUMENTS,
        properties={"variant": variant, "kernel": kernel.removeprefix("linux-image-"), "agent": rackwright.__version__},
        made_at=float(int((made / "when").read_text())),
    )


def described(file: Path, part: Part, compression: Compression = "none") -> ImageFile:
    """What a manifest says of a file."""
    with file.open("rb") as opened:
        digest = hashlib.file_digest(opened, "sha256").hexdigest()
    return ImageFile(name=file.name, part=part, bytes=file.stat().st_size, sha256=digest, compression=compression)


def _recipe() -> str:
    """All texts of our own that become part of the image, or that say how it is put together."""
    texts = [*small_python.agent_files(PRODUCT), *sorted(HERE.glob("*.sh")), *sorted(HERE.glob("*.py"))]
    return hashlib.sha256(b"\0".join(text.read_bytes() for text in texts)).hexdigest()


def _make(wanted: Variant, files: list[Path], work: Path, tell: Callable[[str], None]) -> None:
    unpacked, root, made = work / "packages", work / "ramdisk", work / "made"
    packages.unpack(files, unpacked)
    made.mkdir()
    (kernel,) = (unpacked / "boot").glob("vmlinuz-*")
    shutil.copyfile(kernel, made / "kernel")
    _programs(wanted, unpacked, root)
    small_python.build(unpacked, root, PRODUCT, AGENT_MODULES)
    _modules(wanted, unpacked, root)
    programs = ("bin/busybox", "usr/bin/python3", "usr/bin/zstd", *wanted.programs)
    _libraries(unpacked, root, (*programs, *_extensions(root)))
    _rescue(unpacked, root, work / "rescue")
    _storage(unpacked, root, work / "storage")
    when = int(kernel.stat().st_mtime)
    (made / "when").write_text(str(when))
    tell("packing the ramdisks")
    for name in RAMDISKS:
        with (made / name).open("wb") as file:
            ramdisk.pack(work / name, file, when, wanted.level)


def _programs(wanted: Variant, unpacked: Path, root: Path) -> None:
    for folder in ("bin", "usr/bin", "usr/sbin", "sbin", "etc", "proc", "sys", "dev", "run", "tmp", "root"):
        (root / folder).mkdir(parents=True, exist_ok=True)
    (root / "root").chmod(0o700)
    busybox = _placed(unpacked / "bin/busybox", root / "bin/busybox")
    for applet in packages.run([*small_python.loaded(unpacked), str(busybox), "--list"]).split():
        if applet != "busybox":
            (root / "bin" / applet).symlink_to("busybox")
    for program in ("usr/bin/zstd", *wanted.programs):
        _placed(unpacked / program, root / program)
    for text, place in (("init.sh", "init"), ("udhcpc.sh", "etc/udhcpc")):
        _placed(HERE / text, root / place)
    (root / "etc/passwd").write_text("root:*:0:0:root:/root:/bin/sh\n")
    (root / "etc/group").write_text("root:x:0:\n")
    (root / "etc/shells").write_text("/bin/sh\n")
    (root / "etc/hostname").write_text("discovery\n")


def _modules(wanted: Variant, unpacked: Path, root: Path) -> None:
    (source,) = (unpacked / "lib/modules").iterdir()
    order = modules.copy(source, root / "lib/modules", wanted.always)
    (root / "lib/modules/always").write_text("".join(f"{name}\n" for name in order))
    if wanted.folders:
        target = root / "lib/modules" / source.name
        modules.copy_tree(source, target, wanted.folders)
        for name in ("modules.builtin", "modules.builtin.modinfo", "modules.order"):
            shutil.copyfile(source / name, target / name)
        # The program does what its name says; in the package that name is a link out of it.
        depmod = _placed(unpacked / "bin/kmod", unpacked / "depmod")
        packages.run([*small_python.loaded(unpacked), str(depmod), "-b", str(root), source.name])
        (root / "lib/modules/lookup").touch()
        if (unpacked / "lib/firmware").is_dir():
            shutil.copytree(unpacked / "lib/firmware", root / "lib/firmware")


def _rescue(unpacked: Path, root: Path, rescue: Path) -> None:
    """What the rescue system has besides: an SSH server. It comes in a ramdisk of its own, so that discovery stays
    small."""
    _placed(unpacked / "usr/sbin/dropbear", rescue / "usr/sbin/dropbear")
    _placed(HERE / "rescue.sh", rescue / "bin/rescue")
    _libraries(unpacked, rescue, ("usr/sbin/dropbear",), _there(root))


def _storage(unpacked: Path, root: Path, storage: Path) -> None:
    """What lays disks out over volumes and mirrors: the programs, and the kernel's part of it."""
    programs = ("sbin/lvm", "sbin/mdadm")
    for program in programs:
        _placed(unpacked / program, storage / program)
    (source,) = (unpacked / "lib/modules").iterdir()
    order = modules.copy(source, storage / "lib/modules", _STORAGE_MODULES)
    (storage / "lib/modules/storage").write_text("".join(f"{name}\n" for name in order))
    _libraries(unpacked, storage, programs, _there(root))


def _there(root: Path) -> set[str]:
    """The libraries that the first ramdisk has."""
    return {file.name for file in (root / "lib/x86_64-linux-gnu").iterdir()}


def _extensions(root: Path) -> list[str]:
    """Modules of Python that are libraries themselves."""
    return [str(file.relative_to(root)) for file in (root / "usr/lib/python3.11").rglob("*.so")]


def _libraries(unpacked: Path, root: Path, programs: Iterable[str], there: Collection[str] = ()) -> None:
    """The libraries that the programs name, and those that these name in turn, unless they are there already."""
    if not there:
        (root / "lib64").mkdir(exist_ok=True)
        _placed(unpacked / "lib64/ld-linux-x86-64.so.2", root / "lib64/ld-linux-x86-64.so.2")
    waiting = [name for program in programs for name in needed((root / program).read_bytes())]
    done: set[str] = set(there)
    while waiting:
        name = waiting.pop()
        if name in done or name.startswith("ld-linux"):
            continue
        done.add(name)
        folders = (unpacked / "lib/x86_64-linux-gnu", unpacked / "usr/lib/x86_64-linux-gnu")
        source = next((folder / name for folder in folders if (folder / name).exists()), None)
        if source is None:
            raise Permanent(f"no package holds the library {name}", where="the recipe of the discovery image")
        _placed(source, root / "lib/x86_64-linux-gnu" / name)
        waiting += needed(source.read_bytes())


def needed(data: bytes) -> list[str]:
    """The libraries that a 64-bit ELF file names (DT_NEEDED; System V ABI, chapter 5)."""
    word = int.from_bytes
    start, size, count = word(data[32:40], "little"), word(data[54:56], "little"), word(data[56:58], "little")
    heads = [data[start + place * size : start + (place + 1) * size] for place in range(count)]
    loads = [(word(h[16:24], "little"), word(h[8:16], "little"), word(h[32:40], "little")) for h in heads if h[0] == 1]
    dynamic = next(((word(h[8:16], "little"), word(h[32:40], "little")) for h in heads if h[0] == 2), (0, 0))
    entries = [
        (word(data[at : at + 8], "little"), word(data[at + 8 : at + 16], "little"))
        for at in range(dynamic[0], dynamic[0] + dynamic[1], 16)
    ]
    address = next((value for tag, value in entries if tag == 5), 0)
    texts = next((address - first + at for first, at, length in loads if first <= address < first + length), 0)
    starts = [texts + value for tag, value in entries if tag == 1]
    return [data[at : data.index(b"\0", at)].decode() for at in starts]


def _placed(source: Path, target: Path) -> Path:
    """A copy of a file, which everybody may read and run, whatever links led to it."""
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)
    target.chmod(0o755)
    return target
