"""What each process needs to know: one frozen dataclass per process, read once.

A value comes from the command's option, else from the environment (``RACKWRIGHT_`` and the field's name), else from
the process's table in ``rackwright.toml`` of the data folder, else it is the default.
"""

from __future__ import annotations

import dataclasses
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from rackwright.cli.settings import data_folder
from rackwright.core.errors import InvalidInput

FILE = "rackwright.toml"
DEFAULT_PORT = 8420


@dataclass(frozen=True, kw_only=True)
class ConductorSetting:
    """A conductor: the database by ``dsn`` (empty: the embedded one of the folder ``data``), and how many processes."""

    data: Path
    dsn: str = ""
    workers: int = 1


@dataclass(frozen=True, kw_only=True)
class ApiSetting:
    """An api: the database (as above), and where it listens; port 0 lets the system choose one."""

    data: Path
    dsn: str = ""
    host: str = "127.0.0.1"
    port: int = DEFAULT_PORT


@dataclass(frozen=True, kw_only=True)
class UpSetting:
    """Everything on one machine: the folder of all its data, the database (as above), the number of conductors, the
    racks by name, and where the api listens."""

    data: Path
    dsn: str = ""
    conductors: int = 1
    racks: tuple[str, ...] = ("r1",)
    host: str = "127.0.0.1"
    port: int = DEFAULT_PORT

    @property
    def server(self) -> str:
        """The URL of the api."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.port}"


_Setting = TypeVar("_Setting", ApiSetting, ConductorSetting, UpSetting)


def read_setting(
    kind: type[_Setting], table: str, options: Mapping[str, Any], environment: Mapping[str, str]
) -> _Setting:
    """The setting of a process. Options that are None were not given. Raises InvalidInput that names the place."""
    data = Path(options.get("data") or data_folder(environment)).resolve()
    file = data / FILE
    said = _table(file, table)
    given: dict[str, Any] = {}
    for field in dataclasses.fields(kind):
        variable = f"RACKWRIGHT_{field.name.upper()}"
        if options.get(field.name) is not None:
            value, where = options[field.name], f"--{field.name}"
        elif environment.get(variable):
            value, where = environment[variable], variable
        elif field.name in said:
            value, where = said[field.name], f"{file}, [{table}]"
        else:
            continue
        given[field.name] = _converted(value, field, where)
    unknown = sorted(set(said) - {field.name for field in dataclasses.fields(kind)})
    if unknown:
        known = ", ".join(field.name for field in dataclasses.fields(kind))
        raise InvalidInput(f"no such setting: {unknown[0]}", where=f"{file}, [{table}]", mend=f"settings: {known}")
    return kind(**{**given, "data": data})


def _table(file: Path, name: str) -> dict[str, Any]:
    try:
        table = tomllib.loads(file.read_text(encoding="utf-8")).get(name, {})
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise InvalidInput(f"the settings cannot be read: {error}", where=str(file), mend="mend the file") from None
    if not isinstance(table, dict):
        raise InvalidInput(f"{name} must be a table", where=str(file), mend=f"write [{name}] and its values below")
    return table


def _converted(value: Any, field: dataclasses.Field[Any], where: str) -> Any:
    if field.name == "racks" and isinstance(value, str):
        value = [name.strip() for name in value.split(",") if name.strip()]
    kinds: dict[str, Any] = {"Path": Path, "str": str, "int": int, "tuple[str, ...]": tuple[str, ...]}
    try:
        if field.type == "Path":
            return Path(value)
        return msgspec.convert(value, kinds[str(field.type)], strict=False)
    except msgspec.ValidationError as error:
        raise InvalidInput(f"{field.name} is wrong: {error}", where=where, mend="correct it") from None
