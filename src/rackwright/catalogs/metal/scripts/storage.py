"""Which disks a system goes to, and how they are laid out: as a partman recipe (Debian), as the storage actions of
curtin (Ubuntu's installer) and as kickstart commands.

A layout is ``{"layout": "flat" | "lvm" | "raid1", "filesystem": "ext4" | "xfs", "swap_bytes": 0, "boot_bytes": ...}``.
``flat``: partitions on one disk. ``lvm``: one volume group with the root and swap on one disk. ``raid1``: everything
mirrored over two disks, save the EFI system partition, of which each disk has one.

A disk is known by its serial, for /dev/sda is another one after the next start; by its path only where it has none.
Formats: partman-auto-recipe.txt of Debian's installer, curtin's storage reference, the kickstart reference of Anaconda.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from told import Refused

MIB = 1 << 20
GIB = 1 << 30
EFI_BYTES = 512 * MIB
LEAST = 4 * GIB
"""Bytes that an installer needs at least."""

Disk = dict[str, Any]
Layout = dict[str, Any]


def choose(found: list[Disk], wished: dict[str, Any], needed: int, count: int = 1) -> list[Disk]:
    """The disks to be written: those of ``serial`` or ``path`` where they are wished, else the smallest that are large
    enough and cannot be pulled out; of equal ones the lowest serial, for the order of paths changes from start to
    start. Each as {serial, bytes}, with ``path`` where the serial does not tell it apart.

    Raises Refused for disks that are missing, too small, or that a serial does not tell apart.
    """
    least = max(int(wished.get("min_bytes") or 0), needed)
    if not found:
        raise Refused("the inventory has no disk", "commission the machine, and look at its disks")
    serials = wished.get("serials") or ([wished["serial"]] if wished.get("serial") else [])
    if serials or wished.get("path"):
        chosen = [_by_serial(found, str(serial)) for serial in serials] or [_by_path(found, str(wished["path"]))]
        _few_enough(chosen, count)
        _agree(chosen[0], wished, found)
        _fill(chosen, found, least, count)
    else:
        chosen = []
        _fill(chosen, found, least, count)
    for disk in chosen:
        if int(disk["bytes"]) < least:
            mend = "name another disk in the attribute os.disk, or a smaller image"
            raise Refused(f"disk {_called(disk)} has {disk['bytes']} bytes, and {least} are needed", mend)
    return [_known(disk, found) for disk in chosen]


def checked(layout: Layout | None, method: str, able: Sequence[str] = ()) -> Layout:
    """A layout with all that was not said. ``able``: where else than flat on a disk the root of the image can stand.
    Raises Refused for a layout that the method cannot make."""
    full = {"layout": "flat", "filesystem": "ext4", "swap_bytes": 0, "boot_bytes": GIB, **(layout or {})}
    kind = full["layout"]
    if kind not in ("flat", "lvm", "raid1"):
        raise Refused(f"there is no storage layout {kind}", "write flat, lvm or raid1 in os.storage.layout")
    if method == "image" and kind != "flat":
        _check_image(full, able)
    return full


def _check_image(layout: Layout, able: Sequence[str]) -> None:
    """An image has its file system, and its system must be able to start from where it is put."""
    kind = layout["layout"]
    if kind not in able:
        mend = "choose the layout flat, an image with the property `layouts`, or a method that installs"
        raise Refused(f"an image brings its own partitions, and this one cannot stand on {kind}", mend)
    if layout["filesystem"] != "ext4":
        raise Refused("the image's file system is ext4", "leave out os.storage.filesystem")
    if kind == "raid1" and layout["swap_bytes"]:
        mend = "leave out os.storage.swap_bytes, and make a swap file in the installed system"
        raise Refused("a mirrored system of an image has no swap partition", mend)


# ---- which disk


def _by_serial(found: list[Disk], serial: str) -> Disk:
    hits = [disk for disk in found if disk.get("serial") == serial]
    if not hits:
        raise Refused(f"no disk has the serial {serial}; there {_all(found)}", "correct the attribute os.disk")
    if len(hits) > 1:
        paths = " and ".join(str(disk.get("path")) for disk in hits)
        raise Refused(f"{paths} have the same serial {serial}", "name the disk by path in os.disk, or take one out")
    return hits[0]


def _by_path(found: list[Disk], path: str) -> Disk:
    hits = [disk for disk in found if disk.get("path") == path]
    if not hits:
        raise Refused(f"there is no disk {path}; there {_all(found)}", "correct the attribute os.disk")
    return hits[0]


def _few_enough(chosen: list[Disk], count: int) -> None:
    """What is named and not needed must not be lost by mistake."""
    named = len({id(disk) for disk in chosen})
    if named < len(chosen) or named > count:
        mend = "name that many different disks in os.disk, or choose the layout raid1 in os.storage.layout"
        raise Refused(f"the layout takes {count}, and os.disk names {len(chosen)}", mend)


def _agree(disk: Disk, wished: dict[str, Any], found: list[Disk]) -> None:
    if wished.get("path") and disk.get("path") != wished["path"]:
        mend = "give one of them in os.disk, best the serial"
        raise Refused(f"the disk with the serial {disk['serial']} is not {wished['path']}; there {_all(found)}", mend)


def _fill(chosen: list[Disk], found: list[Disk], least: int, count: int) -> None:
    """Add disks that fit until there are ``count``; those of a mirror should be alike, so the nearest in size come
    first."""
    others = [disk for disk in found if not disk.get("removable") and disk not in chosen]
    fit = sorted((disk for disk in others if int(disk["bytes"]) >= least), key=_rank)
    if chosen or (fit and count > 1):
        alike = int((chosen or fit)[0]["bytes"])
        fit.sort(key=lambda disk: abs(int(disk["bytes"]) - alike))
    missing = count - len(chosen)
    if missing > len(fit):
        what = f"{count} disks" if count > 1 else "a disk"
        mend = "put in larger disks, or name one in the attribute os.disk"
        raise Refused(f"{what} of {least} bytes that cannot be pulled out are needed; there {_all(found)}", mend)
    chosen += fit[: max(missing, 0)]


def _rank(disk: Disk) -> tuple[int, str, str]:
    return int(disk["bytes"]), str(disk.get("serial") or ""), str(disk.get("path") or "")


def _known(disk: Disk, found: list[Disk]) -> Disk:
    """How a disk is told apart at the next start as well."""
    serial = str(disk.get("serial") or "")
    if serial and [other.get("serial") for other in found].count(serial) == 1:
        return {"serial": serial, "bytes": int(disk["bytes"])}
    return {"serial": serial, "path": str(disk.get("path")), "bytes": int(disk["bytes"])}


def _all(found: list[Disk]) -> str:
    told = ", ".join(f"{_called(disk)} of {disk['bytes']} bytes" for disk in found)
    return f"are {told}" if len(found) > 1 else f"is {told}"


def _called(disk: Disk) -> str:
    serial = f" (serial {disk['serial']})" if disk.get("serial") else ""
    return f"{disk.get('path', 'without a path')}{serial}"


# ---- partman


def partman(layout: Layout, uefi: bool) -> dict[str, str]:
    """Answers below ``partman-auto``: ``method``, ``recipe``, and ``raid``, the recipe of mirrors, empty
    where there are none."""
    kind = layout["layout"]
    answers = {
        "method": {"flat": "regular", "lvm": "lvm", "raid1": "raid"}[kind],
        "recipe": " ".join(_recipe(layout, uefi)),
        "raid": "",
    }
    if kind == "raid1":
        mirrors = [f"1 2 0 {layout['filesystem']} / raidid=1 ."]
        mirrors += ["1 2 0 swap - raidid=2 ."] if layout["swap_bytes"] else []
        answers["raid"] = " ".join(mirrors)
    return answers


def _recipe(layout: Layout, uefi: bool) -> list[str]:
    """The partitions: least size, priority and largest size in MB, type, and what is done with each."""
    kind, swap = layout["layout"], int(layout["swap_bytes"]) // 10**6
    efi = EFI_BYTES // 10**6
    rows = [f"rackwright-{kind} ::"]
    if uefi:
        rows.append(f"{efi} {efi} {efi} fat32 $iflabel{{ gpt }} $primary{{ }} method{{ efi }} format{{ }} .")
    else:
        rows.append("1 1 1 free $iflabel{ gpt } method{ biosgrub } .")
    if kind == "raid1":
        rows.append("2000 10000 -1 raid $lvmignore{ } $primary{ } method{ raid } raidid{ 1 } .")
        rows += [f"{swap} {swap} {swap} raid $lvmignore{{ }} method{{ raid }} raidid{{ 2 }} ."] if swap else []
        return rows
    if kind == "lvm":
        boot = int(layout["boot_bytes"]) // 10**6
        rows.append(f"{boot} {boot} {boot} ext4 $primary{{ }} $bootable{{ }} {_mounts('ext4', '/boot')} .")
    inside = "$lvmok{ } " if kind == "lvm" else ""
    rows.append(f"2000 10000 -1 {layout['filesystem']} {inside}{_mounts(layout['filesystem'], '/')} .")
    rows += [f"{swap} {swap} {swap} linux-swap {inside}method{{ swap }} format{{ }} ."] if swap else []
    return rows


def _mounts(filesystem: str, path: str) -> str:
    return f"method{{ format }} format{{ }} use_filesystem{{ }} filesystem{{ {filesystem} }} mountpoint{{ {path} }}"


# ---- curtin


def curtin(layout: Layout, disks: list[Disk], uefi: bool) -> list[dict[str, Any]]:
    """Storage actions, version 1, in the order in which they are made."""
    actions: list[dict[str, Any]] = []
    for number, disk in enumerate(disks):
        actions += _curtin_disk(number, disk, layout, uefi)
    kind, swap = layout["layout"], int(layout["swap_bytes"])
    root, swapped = "part-root-0", "part-swap-0"
    if kind == "raid1":
        actions.append(_curtin_raid("md-root", "md0", [f"part-root-{number}" for number in range(len(disks))]))
        root = "md-root"
        if swap:
            actions.append(_curtin_raid("md-swap", "md1", [f"part-swap-{number}" for number in range(len(disks))]))
            swapped = "md-swap"
    elif kind == "lvm":
        root, swapped = "lv-root", "lv-swap"
        actions.append({"id": "vg", "type": "lvm_volgroup", "name": "system", "devices": ["part-root-0"]})
        if swap:
            actions.append(
                {"id": "lv-swap", "type": "lvm_partition", "name": "swap", "volgroup": "vg", "size": f"{swap}B"}
            )
        actions.append({"id": "lv-root", "type": "lvm_partition", "name": "root", "volgroup": "vg", "size": -1})
        actions += _mounted("boot", "part-boot-0", "ext4", "/boot")
    actions += _mounted("root", root, layout["filesystem"], "/")
    if swap:
        actions += _mounted("swap", swapped, "swap", "none")
    if uefi:
        actions += _mounted("efi", "part-efi-0", "fat32", "/boot/efi")
    return actions


def _curtin_disk(number: int, disk: Disk, layout: Layout, uefi: bool) -> list[dict[str, Any]]:
    name = f"disk-{number}"
    which = {"serial": disk["serial"]} if disk.get("serial") and not disk.get("path") else {"path": disk["path"]}
    actions: list[dict[str, Any]] = [
        {"id": name, "type": "disk", **which, "ptable": "gpt", "wipe": "superblock-recursive", "preserve": False,
         "grub_device": not uefi}
    ]  # fmt: skip
    parts: list[tuple[str, int, dict[str, Any]]] = []
    if uefi:
        parts.append(("efi", EFI_BYTES, {"flag": "boot", "grub_device": number == 0}))
    else:
        parts.append(("bios", MIB, {"flag": "bios_grub"}))
    swap = int(layout["swap_bytes"])
    if layout["layout"] == "lvm":
        parts.append(("boot", int(layout["boot_bytes"]), {}))
    elif swap:
        parts.append(("swap", swap, {"flag": "swap"} if layout["layout"] == "flat" else {}))
    parts.append(("root", -1, {}))
    for place, (part, size, more) in enumerate(parts, start=1):
        actions.append(
            {"id": f"part-{part}-{number}", "type": "partition", "device": name, "number": place,
             "size": size if size < 0 else f"{size}B", "preserve": False, "wipe": "superblock", **more}
        )  # fmt: skip
    return actions


def _curtin_raid(name: str, device: str, parts: list[str]) -> dict[str, Any]:
    return {"id": name, "type": "raid", "name": device, "raidlevel": 1, "devices": parts, "preserve": False}


def _mounted(name: str, volume: str, filesystem: str, path: str) -> list[dict[str, Any]]:
    return [
        {"id": f"format-{name}", "type": "format", "fstype": filesystem, "volume": volume, "preserve": False},
        {"id": f"mount-{name}", "type": "mount", "device": f"format-{name}", "path": path},
    ]


# ---- kickstart


def kickstart(layout: Layout, uefi: bool) -> list[str]:
    """Commands of kickstart. Disks stand as DISK1 and DISK2: %pre replaces them by what it finds."""
    kind, swap, filesystem = layout["layout"], int(layout["swap_bytes"]) // MIB, layout["filesystem"]
    disks = ["DISK1", "DISK2"] if kind == "raid1" else ["DISK1"]
    lines = [f"ignoredisk --only-use={','.join(disks)}", "zerombr"]
    lines.append(f"clearpart --all --initlabel --disklabel=gpt --drives={','.join(disks)}")
    lines.append("bootloader --location=mbr --boot-drive=DISK1")
    efi = EFI_BYTES // MIB
    for number, disk in enumerate(disks, start=1):
        if not uefi:
            lines.append(f"part biosboot --fstype=biosboot --size=1 --ondisk={disk}")
        elif number == 1:
            lines.append(f"part /boot/efi --fstype=efi --size={efi} --ondisk={disk}")
    if kind == "raid1":
        return lines + _kickstart_raid(layout, disks)
    boot = int(layout["boot_bytes"]) // MIB
    if kind == "lvm":
        lines += [
            f"part /boot --fstype=ext4 --size={boot} --ondisk=DISK1",
            "part pv.1 --size=2048 --grow --ondisk=DISK1",
            "volgroup system pv.1",
            f"logvol / --vgname=system --name=root --fstype={filesystem} --size=2048 --grow",
        ]
        return lines + ([f"logvol swap --vgname=system --name=swap --fstype=swap --size={swap}"] if swap else [])
    lines.append(f"part / --fstype={filesystem} --size=2048 --grow --ondisk=DISK1")
    return lines + ([f"part swap --fstype=swap --size={swap} --ondisk=DISK1"] if swap else [])


def _kickstart_raid(layout: Layout, disks: list[str]) -> list[str]:
    boot, swap = int(layout["boot_bytes"]) // MIB, int(layout["swap_bytes"]) // MIB
    wanted = [("1", "/boot", "ext4", f"--size={boot}"), ("2", "/", layout["filesystem"], "--size=2048 --grow")]
    wanted += [("3", "swap", "swap", f"--size={swap}")] if swap else []
    lines = []
    for number, _, _, size in wanted:
        lines += [f"part raid.{number}{place} {size} --ondisk={disk}" for place, disk in enumerate(disks, start=1)]
    for number, mount, filesystem, _ in wanted:
        parts = " ".join(f"raid.{number}{place}" for place in range(1, len(disks) + 1))
        lines.append(f"raid {mount} --device=md{number} --level=RAID1 --fstype={filesystem} {parts}")
    return lines
