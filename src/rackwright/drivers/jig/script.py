"""The jig that runs a script: a real process in a folder of its own, with the task's inputs in its environment and the
task's facts in a file that it writes."""

from __future__ import annotations

import os
import re
from typing import Any

import msgspec

from rackwright.core.errors import Permanent
from rackwright.core.jig import Outcome, Work
from rackwright.drivers.jig import surroundings
from rackwright.drivers.jig.output import read_output
from rackwright.drivers.jig.program import Programs, failure


class ScriptParameters(msgspec.Struct, frozen=True):
    """``script`` is the path of a text of the catalog, or the text itself when it has more than one line; ``log_limit``
    is in bytes."""

    script: str
    args: list[str | int | float | bool] = []
    env: dict[str, Any] = {}
    log_limit: int = 64 * 1024 * 1024


class ScriptJig:
    """Runs scripts; a script that a former process of this rack left running is killed, and runs again."""

    def __init__(self, folder: str) -> None:
        self._programs = Programs(folder)
        self.folder = self._programs.folder

    async def open(self) -> None:
        """Kill the scripts of a former process of this rack."""
        await self._programs.open()

    async def run(self, work: Work) -> Outcome:
        """Run one script to its end and read its facts."""
        given = surroundings.parameters_as(ScriptParameters, work)
        words = _lay_out(work, given)
        code = await self._programs.run(words, _environment(work, given), work, given.log_limit)
        if code != 0:
            raise failure(code, work)
        return read_output(os.path.join(work.folder, "output"))

    def kept(self) -> list[int]:
        """Nothing is kept."""
        return []

    async def drop(self, ids: list[int]) -> None:
        """There is nothing to stop."""

    async def close(self, grace: float) -> None:
        """Nothing is kept: every script ends within its ``run``."""


def _lay_out(work: Work, given: ScriptParameters) -> list[str]:
    """Fill the work folder; gives the words that start the script."""
    claim, text = work.claim, script_text(work, given)
    for name in ("files", "tmp"):
        os.makedirs(os.path.join(work.folder, name), mode=0o700)
    surroundings.write_files(claim.files, os.path.join(work.folder, "files"))
    surroundings.write_private(os.path.join(work.folder, "inputs.json"), surroundings.inputs_text(work))
    script = os.path.join(work.folder, "script")
    surroundings.write_private(script, text, 0o700)
    return [*interpreter(text), script, *(str(word) for word in given.args)]


def script_text(work: Work, given: ScriptParameters) -> str:
    """The script itself; raises ``Permanent`` when the catalog has none of this name."""
    text = given.script if "\n" in given.script else work.claim.files.get(given.script)
    if text is None:
        mend = "name a file that the catalog has, or give the text itself, with more than one line"
        raise Permanent(f"the catalog has no script {given.script!r}", mend=mend)
    return text


def interpreter(text: str) -> list[str]:
    """The words before the script's path: from its ``#!`` line as the kernel reads it (a program and at most one more
    word), or /bin/sh. Read by us, so it also works on a disk that is mounted noexec."""
    first = text.split("\n", 1)[0]
    words = re.split("[ \t]+", first[2:].strip(" \t"), maxsplit=1) if first.startswith("#!") else []
    return words if any(words) else ["/bin/sh"]


def _environment(work: Work, given: ScriptParameters) -> dict[str, str]:
    folder = work.folder
    return {
        **surroundings.input_variables(work.claim.inputs),
        **surroundings.clean_environment(home=folder, temporary=os.path.join(folder, "tmp")),
        **surroundings.given_variables(given.env),
        **surroundings.task_variables(work),
        "RACKWRIGHT_ATTEMPT": str(work.claim.attempt),
        "RACKWRIGHT_INPUTS": os.path.join(folder, "inputs.json"),
        "RACKWRIGHT_OUTPUT": os.path.join(folder, "output"),
        "RACKWRIGHT_FILES": os.path.join(folder, "files"),
    }
