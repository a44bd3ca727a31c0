"""Who may sign in on this machine."""

from __future__ import annotations

import os
from pathlib import Path


def let_in(key: str, home: Path) -> bool:
    """Add a public key to those that may sign in as the owner of ``home``; False when it was there already."""
    file = home / ".ssh" / "authorized_keys"
    known = file.read_text(encoding="utf-8") if file.exists() else ""
    if key.split()[:2] in [line.split()[:2] for line in known.splitlines()]:
        return False
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = file.with_name(".authorized_keys.rackwright")
    lines = [*known.splitlines(), key]
    with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as opened:
        opened.write("".join(f"{line}\n" for line in lines))
        opened.flush()
        os.fsync(opened.fileno())
    os.replace(draft, file)
    return True
