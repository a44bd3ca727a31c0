"""Processes that do not outlive the one that started them, even when that one is killed.

The starter says so in the environment; the process asks the kernel for a signal at its starter's death (prctl(2),
PR_SET_PDEATHSIG).
"""

from __future__ import annotations

import ctypes
import os
import signal

STARTER = "RACKWRIGHT_STARTER"
_PR_SET_PDEATHSIG = 1


def tied_environment(on_death: signal.Signals) -> dict[str, str]:
    """What to add to the environment of a process that shall get ``on_death`` when the calling process dies."""
    return {STARTER: f"{os.getpid()}:{int(on_death)}"}


def tie() -> None:
    """Obey what the starter said, if it said anything. A starter that is gone already counts as dying now."""
    said = os.environ.pop(STARTER, "")
    starter, _, number = said.partition(":")
    if not number:
        return
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, int(number), 0, 0, 0)
    if os.getppid() != int(starter):
        os.kill(os.getpid(), int(number))
