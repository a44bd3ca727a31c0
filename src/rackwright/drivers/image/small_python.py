"""A Python that is just large enough for the agent: the interpreter, and those modules that the agent loads."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Sequence
from pathlib import Path

from rackwright.core.errors import Permanent

EXTRA = (
    "encodings.ascii",
    "encodings.idna",
    "encodings.latin_1",
    "encodings.utf_8",
    "linecache",
    "stringprep",
    "traceback",
)
"""What is loaded only now and then: for host names, for faults."""
WITHOUT = ("_bz2", "_hashlib", "_lzma", "_ssl", "asyncio", "bz2", "lzma", "ssl")
"""What standard modules use only where it is there: it needs large libraries. Modules that are frozen into the
interpreter need no file, but it finds its library by the file of ``os``."""
_LOADER = "lib64/ld-linux-x86-64.so.2"
_LIBRARIES = ("lib/x86_64-linux-gnu", "usr/lib/x86_64-linux-gnu")

_ASK = """
import importlib, json, os, sys
sys.modules.update(dict.fromkeys({without!r}))
sys.path.insert(0, {agent!r})
for name in {names!r}:
    importlib.import_module(name)
specs = [getattr(module, "__spec__", None) for module in list(sys.modules.values())]
files = [os.__file__, *(spec.origin for spec in specs if spec)]
print(json.dumps(sorted({{file for file in files if file and file.startswith({library!r})}})))
"""
_COMPILE = """
import json, os, py_compile, sys
for source, target, shown in json.load(sys.stdin):
    os.makedirs(os.path.dirname(target), exist_ok=True)
    py_compile.compile(source, target, shown, doraise=True, optimize=2,
        invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH)
"""


def build(packages: Path, root: Path, product: Path, modules: Sequence[str]) -> None:
    """Put into ``root`` the interpreter of the unpacked ``packages``, the libraries that it needs, and, compiled, the
    standard modules that ``modules`` of the product load with their own. ``product``: the folder that holds the package
    ``rackwright``. Raises Permanent when the interpreter of the packages does not run here."""
    library = packages / "usr/lib/python3.11"
    names = [*modules, *EXTRA]
    ask = _ASK.format(agent=str(product), names=names, without=WITHOUT, library=str(library))
    files = [Path(file) for file in json.loads(_python(packages, ask))]
    pairs = [(file, root / "usr/lib/python3.11" / file.relative_to(library)) for file in files if file.suffix == ".py"]
    pairs += [(file, root / "usr/lib/rackwright" / file.relative_to(product)) for file in agent_files(product)]
    jobs = [(str(source), str(target.with_suffix(".pyc")), f"/{target.relative_to(root)}") for source, target in pairs]
    _python(packages, _COMPILE, json.dumps(jobs))
    for file in (file for file in files if file.suffix == ".so"):
        _place(file, root / "usr/lib/python3.11" / file.relative_to(library))
    _place(packages / "usr/bin/python3.11", root / "usr/bin/python3")


def agent_files(product: Path) -> list[Path]:
    """The agent's own files below the folder that holds the package ``rackwright``."""
    return [product / "rackwright/__init__.py", *sorted((product / "rackwright/agent").rglob("*.py"))]


def loaded(packages: Path) -> list[str]:
    """The words that start a program of unpacked packages with the C library of these packages."""
    libraries = ":".join(str(packages / folder) for folder in _LIBRARIES)
    return [str(packages / _LOADER), "--library-path", libraries]


def _python(packages: Path, text: str, given: str = "") -> str:
    """Run the interpreter of the packages with their own C library: whatever Linux is around it."""
    done = subprocess.run(
        [*loaded(packages), str(packages / "usr/bin/python3.11"), "-I", "-S", "-B", "-c", text],
        input=given,
        env={"PYTHONHOME": str(packages / "usr"), "PYTHONHASHSEED": "0"},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise Permanent(f"the Python of the packages failed: {done.stderr.strip()[-1500:]}")
    return done.stdout


def _place(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(source.read_bytes())
    target.chmod(0o755)
