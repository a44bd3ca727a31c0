"""Ways in which a disk itself forgets everything: the commands of NVMe and ATA, and discarding. Each raises OSError or
LookupError where a disk does not know it, or where it would erase more than this disk.

What a disk has begun nobody can take back: it goes on when the job that began it is over, and after its power was away.
So what goes on already is waited for and not begun anew.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from typing import BinaryIO

from rackwright.agent import nvme, writing
from rackwright.agent.disks import Disk
from rackwright.agent.job import Failed, Job

Way = Callable[[Job, Disk], None]

LOOK = 1.0
TELL = 60.0
"""Seconds between two words about how far it is."""
STILL = 1800.0
"""Seconds after which a disk that has come no further has failed, unless it has said that it takes longer."""


def sanitize_nvme(job: Job, disk: Disk) -> None:
    """Sanitize: all that the disk ever held, its caches and spare blocks too. By new keys where it is encrypted, else
    block by block."""
    with nvme.opened(disk) as file:
        known = nvme.controller(file)
        _alone(known.namespaces)
        if not known.actions:
            raise LookupError("the disk cannot sanitize")
        nvme.sanitize(file, known.actions[0])
        _sanitized(job, disk, file)


def format_nvme(job: Job, disk: Disk) -> None:
    """Format the namespace, with its user data erased."""
    with nvme.opened(disk) as file:
        known = nvme.controller(file)
        if known.formats_all:
            _alone(known.namespaces)
        nvme.format_whole(file)


def discard(job: Job, disk: Disk) -> None:
    """Discard all of it in the secure way."""
    writing.discard(disk.path, 0, disk.bytes, secure=True)


_UNTIL_ERASED = "rackwright"
"""The password that a disk has for as long as it erases itself."""
_MINUTES = re.compile(r"(\d+)min for SECURITY ERASE UNIT")


def erase_ata(job: Job, disk: Disk) -> None:
    """With a password that holds until the disk has erased itself (ATA/ATAPI Command Set, security feature set)."""
    program = shutil.which("hdparm")
    if program is None:
        raise LookupError("there is no program hdparm here")
    _refuse_slow(job, program, disk)
    with suppress(LookupError):
        # One that was left locked by a try before.
        _secured(program, "--security-unlock", disk)
    _secured(program, "--security-set-pass", disk)
    try:
        _erased(job, program, disk)
    except LookupError as error:
        try:
            _secured(program, "--security-disable", disk)
        except LookupError as locked:
            raise LookupError(f"{error}; it may be locked with the password {_UNTIL_ERASED}: {locked}") from error
        raise


WAYS: dict[str, Way] = {
    "nvme sanitize": sanitize_nvme,
    "nvme format": format_nvme,
    "secure discard": discard,
    "ata secure erase": erase_ata,
}
"""The strongest first."""


def wait(job: Job, disk: Disk) -> None:
    """Wait for what the disk is at already: a job before has begun it, and its time was over."""
    with suppress(LookupError), nvme.opened(disk) as file:
        if nvme.sanitizing(file).state == nvme.GOES_ON:
            job.say(f"{disk.path} is sanitizing already\n")
            _sanitized(job, disk, file)


def _alone(namespaces: int) -> None:
    if namespaces > 1:
        raise LookupError(f"it would erase {namespaces} namespaces at once")


def _sanitized(job: Job, disk: Disk, file: BinaryIO) -> None:
    """Wait until the disk says that it has sanitized all of it. Raises LookupError where it says that it has not, and
    Failed where it does not end."""
    told, moved, part = time.monotonic(), time.monotonic(), -1.0
    while (now := nvme.sanitizing(file)).state == nvme.GOES_ON:
        _go_on(job, f"{disk.path} goes on by itself, at {now.part:.0%} now: the next try waits for it")
        at = time.monotonic()
        if now.part != part:
            moved, part = at, now.part
        if at - moved > max(STILL, 2.0 * now.seconds):
            raise Failed(f"{disk.path} sanitizes for ever: at {now.part:.0%} for {at - moved:.0f} s (replace the disk)")
        if at - told >= TELL:
            told = at
            job.say(f"{disk.path} sanitizes: {now.part:.0%}{f' of about {now.seconds} s' if now.seconds else ''}\n")
        time.sleep(LOOK)
    if now.state == nvme.FAILED:
        with suppress(LookupError, OSError):
            nvme.sanitize(file, nvme.EXIT_FAILURE)
        raise LookupError(f"the disk says that sanitizing has failed at {now.part:.0%}")
    if now.state not in (nvme.DONE, nvme.DONE_BUT_KEPT):
        raise LookupError(f"sanitizing ended in the state {now.state}")


def _refuse_slow(job: Job, program: str, disk: Disk) -> None:
    """Raise Failed where a disk needs more time than the job has: nobody could wait for its end."""
    told = subprocess.run([program, "-I", disk.path], capture_output=True, text=True, check=False).stdout
    minutes = _MINUTES.search(told)
    if minutes is not None and int(minutes[1]) * 60 > job.left:
        what = f"{disk.path} needs {minutes[1]} minutes to erase itself, and {max(job.left, 0):.0f} s are left"
        raise Failed(f"{what} (raise the task's `timeout`)")


def _erased(job: Job, program: str, disk: Disk) -> None:
    """Let the disk erase itself. It cannot be stopped, nor the program that waits for it: if the job is over before,
    they go on, and the disk is locked until its end."""
    running = subprocess.Popen(_words(program, "--security-erase", disk), stderr=subprocess.PIPE, text=True)
    began = told = time.monotonic()
    while True:
        with suppress(subprocess.TimeoutExpired):
            said = running.communicate(timeout=LOOK)[1]
            break
        _go_on(job, f"{disk.path} still erases itself, and has the password {_UNTIL_ERASED} until then")
        if time.monotonic() - told >= TELL:
            told = time.monotonic()
            job.say(f"{disk.path} erases itself, for {told - began:.0f} s now\n")
    if running.returncode:
        raise LookupError(said.strip() or f"hdparm gave {running.returncode}")


def _go_on(job: Job, otherwise: str) -> None:
    """As ``Job.check``; a failure tells what the disk is at, too."""
    try:
        job.check()
    except Failed as over:
        raise Failed(f"{over}; {otherwise}") from None


def _secured(program: str, what: str, disk: Disk) -> None:
    done = subprocess.run(_words(program, what, disk), capture_output=True, text=True, check=False)
    if done.returncode:
        raise LookupError(done.stderr.strip() or f"hdparm gave {done.returncode}")


def _words(program: str, what: str, disk: Disk) -> list[str]:
    return [program, "--user-master", "u", what, _UNTIL_ERASED, disk.path]
