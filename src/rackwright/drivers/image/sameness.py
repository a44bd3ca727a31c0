"""What would differ from build to build is made the same: times, of files and of what file systems keep beside them."""

from __future__ import annotations

import os
import re
from pathlib import Path

from rackwright.drivers.image import packages

_ROOT_INODE, _FIRST_INODE = 2, 11
_INODE_TIMES = ("atime", "ctime", "crtime")


def settle_files(folder: Path, began: float, when: int) -> None:
    """Give one time to all below ``folder`` that was made since ``began``. Files of packages keep theirs: compiled
    Python goes by it."""
    for path in (folder, *folder.rglob("*")):
        if path.lstat().st_mtime >= int(began):
            os.utime(path, (when, when), follow_symlinks=False)


def settle_inodes(image: Path, when: int, script: Path) -> None:
    """Give one time of access, change and creation to all inodes of an ext4: `mke2fs -d` takes those of the build.
    ``script``: where the commands for debugfs are written."""
    told = packages.run(["dumpe2fs", "-h", str(image)])
    counts = [int(found) for found in re.findall(r"^(?:Inode count|Free inodes): +(\d+)$", told, re.MULTILINE)]
    used = range(_FIRST_INODE, counts[0] - counts[1] + 1)
    lines = [
        f"set_inode_field <{inode}> {name} @{when}\nset_inode_field <{inode}> {name}_extra 0\n"
        for inode in (_ROOT_INODE, *used)
        for name in _INODE_TIMES
    ]
    script.write_text("".join(lines))
    packages.run(["debugfs", "-w", "-f", str(script), str(image)], more={"E2FSPROGS_FAKE_TIME": str(when)})
