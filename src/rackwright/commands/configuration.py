"""What each process needs to know: one frozen dataclass per process, read once.

A value comes from the command's option, else from the environment (``RACKWRIGHT_`` and the field's name), else from
the process's table in ``rackwright.toml`` of the data folder, else it is the default.
"""

from __future__ import annotations

import dataclasses
import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias, TypeVar

import click
import msgspec

from rackwright.cli.settings import data_folder
from rackwright.core.errors import InvalidInput
from rackwright.core.retention import DAY
from rackwright.engine.catalogs.fields import duration
from rackwright.engine.retention import Keep
from rackwright.engine.serialization.policy import PolicySettings

FILE = "rackwright.toml"
DEFAULT_PORT = 8420
DASK = "dask"
"""The folder in the data folder with certificates, and the address of the scheduler that runs."""
ADDRESS = "address"
Workers: TypeAlias = int
"""How many processes: at least 1; ``auto`` in a setting means one for each processor that this process may use."""


@dataclass(frozen=True, kw_only=True)
class ConductorSetting:
    """A conductor: the database by ``dsn`` (empty: the embedded one of the folder ``data``), how many processes, the
    seconds that they may take to finish what is under way, and the seconds without a beat of its agent after which a
    machine is missing."""

    data: Path
    dsn: str = ""
    workers: Workers = 1
    drain: float = 30.0
    missing_after: float = 300.0


@dataclass(frozen=True, kw_only=True)
class ApiSetting:
    """An api: the database (as above), where it listens (port 0 lets the system choose one), how many processes, and
    the seconds that requests under way may take when they are to end."""

    data: Path
    dsn: str = ""
    host: str = "127.0.0.1"
    port: int = DEFAULT_PORT
    workers: Workers = 1
    drain: float = 10.0


@dataclass(frozen=True, kw_only=True)
class UpSetting:
    """Everything on one machine: the folder of all its data, the database (as above), the number of conductors and
    of apis, the racks by name, where the api listens; whether its one rack serves machines, and what answers DHCP there
    (empty: the rack's default); and whether a Dask scheduler runs too, where it listens (port 0: any), and with how
    many workers."""

    data: Path
    dsn: str = ""
    conductors: Workers = 1
    apis: Workers = 1
    racks: tuple[str, ...] = ("r1",)
    host: str = "127.0.0.1"
    port: int = DEFAULT_PORT
    machines: bool = False
    dhcp: str = ""
    dask: bool = False
    dask_workers: int = 2
    dask_host: str = "127.0.0.1"
    dask_port: int = 0

    @property
    def server(self) -> str:
        """The URL of the api."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.port}"


@dataclass(frozen=True, kw_only=True)
class SerializerSetting:
    """A worker for serialisation: the scheduler (empty: the one of the data folder), the folder of certificates (empty:
    the data folder's), its node and the node's status or the file that holds it, whether it is a control host, how many
    processes, and the address on which it listens (empty: the one from which it reaches the scheduler)."""

    data: Path
    node: str
    scheduler: str = ""
    certificates: str = ""
    status: str = ""
    status_file: str = ""
    control: bool = False
    workers: Workers = 1
    listen: str = ""


_Setting = TypeVar("_Setting", ApiSetting, ConductorSetting, SerializerSetting, UpSetting)


def read_setting(
    kind: type[_Setting], table: str, options: Mapping[str, Any], environment: Mapping[str, str]
) -> _Setting:
    """The setting of a process. Options that are None were not given. Raises InvalidInput that names the place."""
    data = Path(options.get("data") or data_folder(environment)).resolve()
    return kind(**{**_given(kind, table, options, environment, data / FILE), "data": data})


def read_policy(options: Mapping[str, Any], environment: Mapping[str, str]) -> PolicySettings:
    """How serialisation is shared out: the table ``[serialization]``. A scheduler that is not named is the one that
    `rackwright up --dask` runs on the same data folder, if it runs."""
    data = Path(options.get("data") or data_folder(environment)).resolve()
    given = _given(PolicySettings, "serialization", options, environment, data / FILE)
    found = {"scheduler": own_scheduler(data), "certificates": data / DASK}
    return PolicySettings(**{**found, **given})


def read_keep(data: Path, environment: Mapping[str, str]) -> Keep:
    """How long history and logs are kept: ``keep`` in the tables ``[history]`` and ``[logs]``, a text as ``90d``, or
    RACKWRIGHT_HISTORY_KEEP and RACKWRIGHT_LOGS_KEEP. Raises InvalidInput that names the place."""
    said: dict[str, float] = {}
    for name in ("history", "logs"):
        variable = f"RACKWRIGHT_{name.upper()}_KEEP"
        value = environment.get(variable) or _table(data / FILE, name).get("keep")
        if value is not None:
            where = variable if environment.get(variable) else f"{data / FILE}, [{name}]"
            said[name] = _kept_for(value, where)
    return Keep(**said)


def _kept_for(value: Any, where: str) -> float:
    seconds = duration(value) if isinstance(value, str) else None
    if not seconds or seconds < DAY:
        raise InvalidInput(f"keep is wrong: {value!r}", where=where, mend='write for how long, a day or more: "90d"')
    return seconds


def own_scheduler(data: Path) -> str:
    """The address of the Dask scheduler that runs on this data folder; empty when none does."""
    try:
        return (data / DASK / ADDRESS).read_text(encoding="ascii").strip()
    except OSError:
        return ""


class WorkersType(click.ParamType[str]):
    """An option that takes a number of processes, or ``auto``."""

    name = "n|auto"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """The word as it is; a usage error for anything else."""
        try:
            count_of(value, "")
        except InvalidInput as error:
            self.fail(error.what, param, ctx)
        return str(value)


def count_of(value: Any, where: str) -> int:
    """How many processes a setting asks for. Raises InvalidInput that names the place."""
    if value == "auto":
        return len(os.sched_getaffinity(0))
    if isinstance(value, bool) or not str(value).isdecimal() or int(value) < 1:
        raise InvalidInput(f"{value!r} is no number of processes", where=where, mend="give a number from 1 up, or auto")
    return int(value)


def _given(
    kind: type[Any], table: str, options: Mapping[str, Any], environment: Mapping[str, str], file: Path
) -> dict[str, Any]:
    """Read the fields of a setting that are given anywhere."""
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
    return given


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
    if field.type == "Workers":
        return count_of(value, where)
    kinds: dict[str, Any] = {"str": str, "int": int, "float": float, "bool": bool, "tuple[str, ...]": tuple[str, ...]}
    try:
        if field.type == "Path":
            return Path(value)
        return msgspec.convert(value, kinds[str(field.type)], strict=False)
    except msgspec.ValidationError as error:
        raise InvalidInput(f"{field.name} is wrong: {error}", where=where, mend="correct it") from None
