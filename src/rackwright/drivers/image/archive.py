"""The agent as one file for installed systems, which have a Python of their own (3.11 or newer)."""

from __future__ import annotations

import io
import zipfile
from functools import cache
from pathlib import Path

import rackwright
from rackwright.drivers.image.small_python import agent_files

PRODUCT = Path(rackwright.__file__).parent.parent
PLACE = "/usr/lib/rackwright/agent.pyz"
"""Where an installed system keeps it."""
UNIT_NAME = "rackwright-agent.service"
UNIT = f"""\
[Unit]
Description=Rackwright agent
Wants=network-online.target
After=network-online.target ssh.service

[Service]
ExecStart=/usr/bin/python3 -I {PLACE} /etc/rackwright/agent.json /var/lib/rackwright-agent
Restart=always
RestartSec=5

[Install]
WantedBy=multi-user.target
"""
"""The unit that runs it (systemd.service(5))."""
_MAIN = "import sys\n\nfrom rackwright.agent.__main__ import main\n\nsys.exit(main())\n"
_WHEN = (1980, 1, 1, 0, 0, 0)
"""The first time that a zip file can tell: the same agent gives the same bytes."""


@cache
def agent_archive() -> bytes:
    """The archive: ``python3 agent.pyz [SETTINGS [FOLDER]]`` runs the agent (see the module ``zipapp``)."""
    texts = {str(file.relative_to(PRODUCT)): file.read_bytes() for file in agent_files(PRODUCT)}
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in sorted({"__main__.py": _MAIN.encode(), **texts}.items()):
            archive.writestr(zipfile.ZipInfo(name, _WHEN), text, zipfile.ZIP_DEFLATED)
    return b"#!/usr/bin/python3\n" + packed.getvalue()
