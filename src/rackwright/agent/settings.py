"""Where the rack's door is and who the machine is: from the kernel's command line, or from an installed file."""

from __future__ import annotations

import json
from typing import Any, NamedTuple

SYSTEMS = ("discovery", "rescue", "memory", "installed")
FILE = "/etc/rackwright/agent.json"
"""Where an installed system keeps its settings."""


class Settings(NamedTuple):
    """What an agent is told before it asks anything."""

    door: str
    token: str = ""
    request: str = ""
    system: str = "discovery"
    mac: str = ""
    """Of the interface that the machine booted from."""


def of_command_line(text: str) -> Settings | None:
    """The settings in a kernel's command line, words ``rackwright.NAME=VALUE``; None when no door is named.

    ``BOOTIF=01-aa-bb-cc-dd-ee-ff`` is PXELINUX's way to name the interface.
    """
    words = dict(word.partition("=")[::2] for word in text.split() if "=" in word)
    boot = words.get("BOOTIF", "").lower().replace("-", ":")
    if len(boot) == 20:
        boot = boot[3:]
    given = {key.removeprefix("rackwright."): value for key, value in words.items() if key.startswith("rackwright.")}
    return _settings({"mac": boot, **given})


def of_file(path: str = FILE) -> Settings | None:
    """The settings of an installed system; None when there is no such file or it names no door."""
    try:
        with open(path, encoding="utf-8") as file:
            given = json.load(file)
    except (OSError, ValueError):
        return None
    return _settings({"system": "installed", **given}) if isinstance(given, dict) else None


def _settings(given: dict[str, Any]) -> Settings | None:
    if not given.get("door"):
        return None
    system = str(given.get("system", "discovery"))
    return Settings(
        door=str(given["door"]),
        token=str(given.get("token", "")),
        request=str(given.get("request", "")),
        system=system if system in SYSTEMS else "discovery",
        mac=str(given.get("mac", "")).lower(),
    )
