"""Being in a network namespace (setns(2)): the calling thread alone is, with the processes and threads it starts."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterator
from contextlib import contextmanager

from rackwright.core.errors import Permanent

CLONE_NEWNET = 0x40000000


@contextmanager
def entered(namespace: str) -> Iterator[None]:
    """Be in the namespace of this name (ip-netns(8)) while the context lasts. Nothing may be awaited meanwhile that
    others of the same thread must not do there. Raises Permanent when it cannot be entered: that takes root."""
    home = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
    try:
        there = os.open(f"/run/netns/{namespace}", os.O_RDONLY)
        try:
            _enter(there, namespace)
        finally:
            os.close(there)
        try:
            yield
        finally:
            _enter(home, "the host's own")
    finally:
        os.close(home)


def _enter(opened: int, name: str) -> None:
    if ctypes.CDLL(None, use_errno=True).setns(opened, CLONE_NEWNET) != 0:
        why = os.strerror(ctypes.get_errno())
        raise Permanent(f"the network namespace {name} cannot be entered: {why}", mend="this takes root")
