"""How much memory a load process has taken."""

from __future__ import annotations


def peak_memory() -> int:
    """The most bytes that this process had in memory at once: VmHWM of proc_pid_status(5). ru_maxrss of getrusage(2)
    would count what the process that started it had."""
    with open("/proc/self/status", "rb") as status:
        return next((int(line.split()[1]) * 1024 for line in status if line.startswith(b"VmHWM:")), 0)
