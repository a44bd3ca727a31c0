"""A server as a unit of systemd: started anew, at once and at every boot, and waited for."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from pathlib import Path

PATIENCE = 120.0  # seconds
PAUSE = 0.25  # seconds
UNITS = Path("/etc/systemd/system")
TEXT = """[Unit]
Description={description}
After=network-online.target
Wants=network-online.target

[Service]
ExecStart={command}
Restart=always
DynamicUser=yes

[Install]
WantedBy=multi-user.target
"""


def start(name: str, description: str, command: str) -> None:
    """Let systemd run a command as a user of its own, from now on."""
    unit = UNITS / f"{name}.service"
    unit.write_text(TEXT.format(description=description, command=command), encoding="utf-8")
    for words in (["daemon-reload"], ["enable", unit.name], ["restart", unit.name]):
        subprocess.run(["/usr/bin/systemctl", *words], check=True)


def wait_for(address: str, port: int) -> None:
    """Wait until somebody listens there; ends the script when nobody comes."""
    end = time.monotonic() + PATIENCE
    while True:
        try:
            socket.create_connection((address, port), timeout=PAUSE).close()
            return
        except OSError as error:
            if time.monotonic() > end:
                sys.exit(f"nobody listens at {address}:{port} after {PATIENCE:g} s: {error}")
            time.sleep(PAUSE)
