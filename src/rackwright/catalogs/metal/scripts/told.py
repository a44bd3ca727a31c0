"""What every script of this catalog does: read its inputs, give its facts, refuse with a reason and a way to mend."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any, NoReturn


class Refused(Exception):
    """It cannot be done like this. ``what`` is wrong, and what to do about it."""

    def __init__(self, what: str, mend: str) -> None:
        super().__init__(f"{what}; {mend}")


def inputs() -> dict[str, Any]:
    """The task's inputs by alias, and ``node`` (name, address), ``deployment`` and ``rack``."""
    read: dict[str, Any] = json.loads(Path(os.environ["RACKWRIGHT_INPUTS"]).read_text(encoding="utf-8"))
    return read


def give(facts: dict[str, Any]) -> None:
    """Hand in the task's facts; ``parked`` among them says that it goes on by itself."""
    Path(os.environ["RACKWRIGHT_OUTPUT"]).write_text(json.dumps(facts), encoding="utf-8")


def refuse(error: Refused) -> NoReturn:
    """End the attempt as failed, with the reason as its last line."""
    sys.exit(str(error))


def text(path: str) -> str:
    """A text of the catalog that the task names."""
    return Path(os.environ["RACKWRIGHT_FILES"], path).read_text(encoding="utf-8")
