"""Classes by where they are: ``FILE.py:Class`` or ``package.module:Class``."""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import sys
from pathlib import Path
from types import ModuleType

from rackwright.core.errors import InvalidInput
from rackwright.load.scenario import Scenario


def place_of(kind: type) -> str:
    """Where a class is, so that another process on this host finds it again."""
    module = sys.modules[kind.__module__]
    if module.__name__.startswith(_PREFIX):
        return f"{module.__file__}:{kind.__qualname__}"
    return f"{kind.__module__}:{kind.__qualname__}"


def load_scenario(place: str) -> type[Scenario]:
    """A scenario's class. Raises InvalidInput with what is wrong: no such file, code that fails, no scenario."""
    where, _, name = place.rpartition(":")
    try:
        module = _module_of_file(Path(where)) if where.endswith(".py") else importlib.import_module(where)
        kind = getattr(module, name)
    except (Exception, SystemExit) as error:
        raise InvalidInput(
            f"the scenario cannot be loaded: {type(error).__name__}: {error}",
            where=place,
            mend="give FILE.py:Class or MODULE:Class of code that can be imported",
        ) from error
    if not (isinstance(kind, type) and issubclass(kind, Scenario) and callable(getattr(kind, "run", None))):
        raise InvalidInput(
            "this is no scenario", where=place, mend="derive it from rackwright.load.scenario.Scenario and define run"
        )
    return kind


_PREFIX = "rackwright_scenario_"


def _module_of_file(file: Path) -> ModuleType:
    name = _PREFIX + hashlib.sha256(str(file.resolve()).encode()).hexdigest()[:16]
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, file.resolve())
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module
