#!/usr/bin/env python3
"""Make a client key for each account once, and tell the public halves.

The secret halves stay in ``accounts/<name>.nk`` of the state folder, for their owner alone.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(os.environ["RACKWRIGHT_FILES"], os.environ["NKEYS"]).parent))

from nkeys import new_seed, public_key


def kept_seed(path: Path) -> str:
    """Give the secret half in a file; a new one when there is none. A half-written file can never be seen."""
    if not path.exists():
        unborn = path.with_suffix(".new")
        unborn.unlink(missing_ok=True)
        with open(os.open(unborn, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="ascii") as file:
            file.write(new_seed())
            os.fsync(file.fileno())
        unborn.rename(path)
        print(f"made a key for the account {path.stem}: {path}")
    return path.read_text(encoding="ascii").strip()


def main() -> None:
    """Write ``messaging.accounts``: account name to public key."""
    inputs = json.loads(Path(os.environ["RACKWRIGHT_INPUTS"]).read_text(encoding="utf-8"))
    folder = Path(os.environ["RACKWRIGHT_STATE"], "accounts")
    folder.mkdir(mode=0o700, exist_ok=True)
    keys = {name: public_key(kept_seed(folder / f"{name}.nk")) for name in sorted(inputs["accounts"])}
    Path(os.environ["RACKWRIGHT_OUTPUT"]).write_text(json.dumps({"messaging.accounts": keys}), encoding="utf-8")
    print(f"{len(keys)} accounts: {', '.join(keys)}")


main()
