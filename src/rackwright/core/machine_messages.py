"""What a machine's agent and its rack say to each other: JSON bodies over HTTP, the machine asks.

The agent carries the node's token (``Authorization: Bearer``), which it got from its kernel's command line, from its
first registration, or from the installed system's files. Times are seconds.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec

System = Literal["discovery", "rescue", "memory", "installed"]
"""In which system an agent runs."""


class Register(msgspec.Struct, frozen=True, kw_only=True):
    """An agent has started. ``POST /agent/register``, with the node's token if it has one."""

    macs: tuple[str, ...]
    """Of its Ethernet interfaces, lower case."""
    boot_mac: str = ""
    """Of the interface that it booted from."""
    serial: str = ""
    """The machine's serial number (DMI)."""
    uuid: str = ""
    firmware: Literal["bios", "uefi", ""] = ""
    system: System = "discovery"
    request: str = ""
    """The boot environment's request, as the kernel's command line or the installed files say."""
    boot_id: str = ""
    """Of this boot (/proc/sys/kernel/random/boot_id)."""
    version: str = ""
    """Of the agent."""
    clock: float = 0.0
    """The machine's clock, seconds since the epoch."""
    inventory: dict[str, Any] = {}
    """See ``inventory``; empty: none was taken."""


class Registered(msgspec.Struct, frozen=True, kw_only=True):
    """The rack's answer: who the machine is, and its token from now on."""

    node: str
    token: str
    heartbeat: float = 10.0
    """The agent polls again at least this often."""
    clock: float = 0.0
    """The rack's clock: an agent whose own is far off sets it."""


class AgentTask(msgspec.Struct, frozen=True, kw_only=True):
    """One attempt for the agent to carry out. Repeating the same (id, attempt) starts nothing new."""

    id: int
    attempt: int
    action: str
    """Name of the agent's action: ``inventory``, ``burnin``, ``write-image``, ``erase``, ``bmc``, ``reboot``,
    ``script``, ..."""
    parameters: dict[str, Any] = {}
    files: dict[str, str] = {}
    timeout: float = 600.0


class Poll(msgspec.Struct, frozen=True, kw_only=True):
    """``POST /agent/poll``: the agent lives; the answer comes when there is work, or after ``wait`` seconds."""

    boot_id: str
    running: tuple[tuple[int, int], ...] = ()
    """(id, attempt) pairs that it works on."""
    wait: float = 10.0
    facts: dict[str, Any] = {}
    """What it saw since the last poll, by path below ``observed`` (temperatures, drift of the inventory)."""


class Work(msgspec.Struct, frozen=True, kw_only=True):
    """The answer to a poll: start ``tasks``; end what is in ``cancel``."""

    tasks: tuple[AgentTask, ...] = ()
    cancel: tuple[tuple[int, int], ...] = ()


class Said(msgspec.Struct, frozen=True, kw_only=True):
    """``POST /agent/log``: a piece of an attempt's log from ``offset`` on (base64 in JSON)."""

    id: int
    attempt: int
    offset: int
    data: bytes


class Ended(msgspec.Struct, frozen=True, kw_only=True):
    """``POST /agent/result``: how an attempt ended. It is repeated until the rack has answered."""

    id: int
    attempt: int
    outcome: Literal["ok", "failed", "retryable"]
    reason: str = ""
    facts: dict[str, Any] = {}


class RackKey(msgspec.Struct, frozen=True):
    """The answer to ``POST /agent/key``: the rack's public SSH key, a line of authorized_keys; empty: it has none. A
    system that is to stay lets it in before it phones home."""

    key: str = ""


class PhoneHome(msgspec.Struct, frozen=True, kw_only=True):
    """``POST /agent/home``: a system that was just installed runs from its own disk for the first time."""

    request: str
    hostname: str = ""
    boot_id: str = ""
    ssh_host_keys: tuple[str, ...] = ()
    """Public keys, one line each as in /etc/ssh/ssh_host_*_key.pub."""
    os: dict[str, Any] = {}
    """Of /etc/os-release: id, version, name; kernel."""
