#!/usr/bin/env python3
"""Say by which firmware a machine is booted: what its inventory told, else what people say, else nothing.

It stays the same for one activity. A machine that is seen for the first time tells its firmware while it boots; if that
changed what its boot has read, it would be booted again.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, os.path.join(os.environ.get("RACKWRIGHT_FILES", ""), "scripts"))

import told


def firmware(given: dict[str, Any], kept: dict[str, str]) -> str:
    """The word; ``kept`` is what was said for which activity."""
    activity = given["activity"]["id"]
    if kept.get("activity") == activity:
        return kept["firmware"]
    return str(given.get("seen") or given.get("wanted") or "")


def main() -> None:
    """Give the fact ``boot.firmware``."""
    given = told.inputs()
    file = Path(os.environ["RACKWRIGHT_STATE"], "firmware.json")
    kept = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
    word = firmware(given, kept)
    unborn = file.with_suffix(".new")
    unborn.write_text(json.dumps({"activity": given["activity"]["id"], "firmware": word}), encoding="utf-8")
    unborn.rename(file)
    print(word or "not known yet")
    told.give({"boot.firmware": word})


if __name__ == "__main__":
    main()
