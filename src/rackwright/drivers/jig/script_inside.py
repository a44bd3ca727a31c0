"""The jig ``script`` without processes: a catalog's Python scripts run in the rack's own process, one after the other.

It is for simulated racks, thousands of which share one process: starting a real one for each script would be all that
is measured. A script finds what it finds elsewhere: its words, its environment, its files, and its own modules. It must
not wait, for all racks of the process wait with it. What is not Python is given to ``other``.
"""

from __future__ import annotations

import builtins
import hashlib
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from types import CodeType, ModuleType
from typing import Any

from rackwright.core.errors import Permanent
from rackwright.core.jig import Jig, Outcome, Work
from rackwright.drivers.jig import surroundings
from rackwright.drivers.jig.output import read_output
from rackwright.drivers.jig.script import ScriptParameters, interpreter, script_text


class InsideScripts:
    """Runs scripts here. ``folder`` keeps the files of catalogs, once for all attempts; one object may serve many
    racks."""

    def __init__(self, folder: str, other: Jig) -> None:
        self._folder = folder
        self._other = other
        self._opened = False
        self._bundles: dict[tuple[tuple[str, str], ...], _Bundle] = {}
        self._own = dict(os.environ)

    async def open(self) -> None:
        """What a former process has left is ended once, and not what runs for other racks by now."""
        if not self._opened:
            self._opened = True
            await self._other.open()

    async def run(self, work: Work) -> Outcome:
        """Run one script to its end and read its facts."""
        given = surroundings.parameters_as(ScriptParameters, work)
        text = script_text(work, given)
        if not any("python" in word for word in interpreter(text)):
            return await self._other.run(work)
        return self._carried_out(work, given, text)

    def kept(self) -> list[int]:
        """Nothing is kept."""
        return []

    async def drop(self, ids: list[int]) -> None:
        """There is nothing to stop."""

    async def close(self, grace: float) -> None:
        """Nothing is kept."""
        await self._other.close(grace)

    def _carried_out(self, work: Work, given: ScriptParameters, text: str) -> Outcome:
        bundle = self._bundle(work.claim.files)
        said: list[str] = []
        environment = self._own | _environment(work, given, bundle.folder)
        with _lent([given.script, *map(str, given.args)]):
            try:
                bundle.run(text, given.script, environment, said)
            except SystemExit as ended:
                if ended.code not in (None, 0):
                    raise Permanent(f"it ended with {ended.code}", mend=f"see task {work.claim.task}") from None
            finally:
                if said:
                    surroundings.write_private(work.log, "".join(said))
        outcome = read_output(os.path.join(work.folder, "output"))
        for name in ("inputs.json", "output"):
            with suppress(FileNotFoundError):
                os.unlink(os.path.join(work.folder, name))
        return outcome

    def _bundle(self, files: dict[str, str]) -> _Bundle:
        """The files of a task, on the disk and as modules; made once for the same texts."""
        texts = tuple(sorted(files.items()))
        bundle = self._bundles.get(texts)
        if bundle is None:
            digest = hashlib.sha256("\0".join(part for item in texts for part in item).encode()).hexdigest()
            folder = os.path.join(self._folder, digest)
            os.makedirs(folder, mode=0o700, exist_ok=True)
            surroundings.write_files(files, folder)
            bundle = self._bundles[texts] = _Bundle(folder, files)
        return bundle


class _Bundle:
    """The files that a task brings, among them modules that its scripts import by their plain names."""

    def __init__(self, folder: str, files: Mapping[str, str]) -> None:
        self.folder = folder
        self._texts = {os.path.basename(path)[:-3]: text for path, text in files.items() if path.endswith(".py")}
        self._modules: dict[str, ModuleType] = {}
        self._codes: dict[str, CodeType] = {}
        self._said: list[str] = []
        self._os = ModuleType("os")
        vars(self._os).update(vars(os), getenv=self._getenv)

    def run(self, text: str, name: str, environment: dict[str, str], said: list[str]) -> None:
        """Run a script as a program that finds this environment; ``said`` gets its words."""
        code = self._codes.get(text)
        if code is None:
            code = self._codes[text] = compile(text, name, "exec")
        self._said = said
        vars(self._os)["environ"] = environment
        exec(code, self._namespace("__main__"))

    def _namespace(self, name: str) -> dict[str, Any]:
        own = {**vars(builtins), "__import__": self._import, "print": self._print}
        return {"__name__": name, "__builtins__": own}

    def _getenv(self, name: str, default: str | None = None) -> str | None:
        found: str | None = vars(self._os)["environ"].get(name, default)
        return found

    def _import(self, name: str, *rest: Any) -> ModuleType:
        if name == "os" or (name == "os.path" and not (rest[2:3] and rest[2])):
            return self._os
        if name not in self._texts:
            return builtins.__import__(name, *rest)
        module = self._modules.get(name)
        if module is None:
            # Under a name that no other catalog's module has: dataclasses look for their module where all are.
            own = f"{os.path.basename(self.folder)}.{name}"
            module = self._modules[name] = sys.modules[own] = ModuleType(own)
            vars(module).update(self._namespace(own))
            exec(compile(self._texts[name], name, "exec"), vars(module))
        return module

    def _print(self, *words: object, sep: str = " ", end: str = "\n", **_: object) -> None:
        self._said.append(sep.join(map(str, words)) + end)


def _environment(work: Work, given: ScriptParameters, files: str) -> dict[str, str]:
    inputs = os.path.join(work.folder, "inputs.json")
    surroundings.write_private(inputs, surroundings.inputs_text(work))
    return {
        **surroundings.input_variables(work.claim.inputs),
        **surroundings.given_variables(given.env),
        **surroundings.task_variables(work),
        "RACKWRIGHT_ATTEMPT": str(work.claim.attempt),
        "RACKWRIGHT_INPUTS": inputs,
        "RACKWRIGHT_OUTPUT": os.path.join(work.folder, "output"),
        "RACKWRIGHT_FILES": files,
    }


@contextmanager
def _lent(words: list[str]) -> Iterator[None]:
    """The words of a script, and the path of modules, for as long as it runs."""
    argv, path = sys.argv, list(sys.path)
    sys.argv = words
    try:
        yield
    finally:
        sys.argv, sys.path[:] = argv, path
