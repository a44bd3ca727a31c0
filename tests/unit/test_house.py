"""The house keeps its own law: small files, imports that can be seen, one name for each room."""

from __future__ import annotations

import ast
import tomllib
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

import pytest

import rackwright

ROOT = Path(__file__).resolve().parents[2]
SOURCE = ROOT / "src" / "rackwright"
SOURCE_SUFFIXES = {".py", ".sql", ".sh"}
STRICT_ROOMS = ("core", "engine")
STRICT_LIMIT = 500
LIMIT = 800


def _files_of_code() -> Iterator[Path]:
    for top in (SOURCE, ROOT / "tests", ROOT / "benchmarks"):
        yield from (path for path in top.rglob("*") if path.suffix in SOURCE_SUFFIXES)


def _own_imports_inside_functions(tree: ast.Module) -> Iterator[int]:
    """Give the lines on which a function imports a module of the product."""
    functions = (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))
    for node in (inner for function in functions for inner in ast.walk(function)):
        if isinstance(node, ast.ImportFrom):
            names = [node.module or ""]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        else:
            continue
        if any(name.split(".")[0] == "rackwright" for name in names):
            yield node.lineno


def _modules_imported(path: Path) -> set[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    plain = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    return plain | {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}


def _lines(path: Path) -> int:
    return len(path.read_text(encoding="utf-8").splitlines())


@pytest.mark.parametrize("room", STRICT_ROOMS)
def test_no_file_of_core_or_engine_is_over_500_lines(room: str) -> None:
    sizes = {str(path.relative_to(ROOT)): _lines(path) for path in (SOURCE / room).rglob("*.py")}
    assert sizes, f"the room {room} has no files"
    assert {name: size for name, size in sizes.items() if size > STRICT_LIMIT} == {}


def test_no_cancellation_is_lost_at_a_time_limit() -> None:
    """``asyncio.wait_for`` of Python 3.11 takes one for nothing when it comes together with what is waited for;
    ``asyncio.timeout`` does not."""
    found = [str(path) for path in SOURCE.rglob("*.py") if "asyncio.wait_for(" in path.read_text(encoding="utf-8")]
    assert found == []


def test_no_file_anywhere_is_over_800_lines() -> None:
    sizes = {str(path.relative_to(ROOT)): _lines(path) for path in _files_of_code()}
    assert {name: size for name, size in sizes.items() if size > LIMIT} == {}


def test_no_function_imports_a_module_of_our_own() -> None:
    found = [
        f"{path.relative_to(ROOT)}:{line}"
        for path in SOURCE.rglob("*.py")
        for line in _own_imports_inside_functions(ast.parse(path.read_text(encoding="utf-8")))
    ]
    assert found == []


def test_the_check_for_lazy_imports_sees_one() -> None:
    tree = ast.parse("def f():\n    import rackwright.core\n\nasync def g():\n    from rackwright.store import x\n")
    assert list(_own_imports_inside_functions(tree)) == [2, 5]


def test_core_takes_only_the_parsing_of_addresses_from_urllib() -> None:
    # The layer law cannot tell the parts of a package of others apart, and one part of this one does no I/O.
    imported = {name for path in (SOURCE / "core").rglob("*.py") for name in _modules_imported(path)}
    assert {name for name in imported if name.split(".")[0] == "urllib"} <= {"urllib.parse"}


def test_every_room_says_in_its_docstring_why_it_is_there() -> None:
    silent = [
        str(path.relative_to(ROOT))
        for path in SOURCE.rglob("__init__.py")
        if "scripts" not in path.parts and not ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
    ]
    assert silent == []


def test_the_law_names_every_room_that_exists() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    contracts = {contract["id"]: contract for contract in settings["tool"]["importlinter"]["contracts"]}
    named = {
        word.strip(" ()").removeprefix("rackwright.")
        for layer in contracts["layers"]["layers"]
        for word in layer.split("|")
    }
    rooms = {path.parent.name for path in SOURCE.glob("*/__init__.py")} - {"catalogs"}
    assert rooms - named == set()


def test_no_line_switches_a_check_off() -> None:
    switches = ("# type: " + "ignore", "# no" + "qa", "# pragma: " + "no cover")
    found = [
        f"{path.relative_to(ROOT)}:{number}"
        for path in _files_of_code()
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1)
        if any(switch in line for switch in switches)
    ]
    assert found == []


def test_the_installed_version_is_the_one_in_the_source() -> None:
    assert version("rackwright") == rackwright.__version__
