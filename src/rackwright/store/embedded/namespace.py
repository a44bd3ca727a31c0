"""Run a program in a user namespace in which we are an ordinary user: ``python namespace.py PROGRAM ARGUMENTS...``.

A script of its own, run by its path and with nothing but the standard library, because it has to happen in the new
process, before the program, and quickly. Ends with code 1 where namespaces are forbidden. See user_namespaces(7).
"""

from __future__ import annotations

import ctypes
import os
import sys

CLONE_NEWUSER = 0x10000000  # linux/sched.h
USER_INSIDE = 1000


def enter() -> None:
    """Enter a new user namespace. To the kernel we stay who we were, less all privileges."""
    user, group = os.geteuid(), os.getegid()
    if ctypes.CDLL(None, use_errno=True).unshare(CLONE_NEWUSER) != 0:
        raise OSError(ctypes.get_errno(), "unshare")
    _write("/proc/self/setgroups", "deny")
    _write("/proc/self/uid_map", f"{USER_INSIDE} {user} 1")
    _write("/proc/self/gid_map", f"{USER_INSIDE} {group} 1")


def _write(path: str, text: str) -> None:
    with open(path, "w", encoding="ascii") as file:
        file.write(text)


if __name__ == "__main__":
    try:
        enter()
    except OSError as error:
        sys.exit(f"FATAL:  no user namespace: {error}")
    os.execv(sys.argv[1], sys.argv[1:])
