"""The schema of the job engine (Procrastinate), taken from its package and kept in a schema of its own.

The package is pinned, and brings the whole schema and the steps between its versions. A database that another version
made is brought on by those steps; one that a newer version made is refused.
"""

from __future__ import annotations

import re
from importlib.metadata import distribution
from pathlib import Path

from rackwright.core.errors import StoreUnavailable
from rackwright.store.postgres.session import Connection

_STEP = re.compile(r"(\d+)\.(\d+)\.(\d+)_(\d+)_")
# Its functions name its tables without their schema: each is told where to look, whoever calls it.
_FUNCTIONS = """
DO $$
DECLARE
    own regprocedure;
BEGIN
    FOR own IN SELECT oid FROM pg_proc WHERE pronamespace = 'procrastinate'::regnamespace LOOP
        EXECUTE format('ALTER FUNCTION %s SET search_path = procrastinate, pg_temp', own);
    END LOOP;
END
$$
"""


async def fit_jobs(connection: Connection) -> None:
    """Bring the job engine's schema to the installed version. Raises StoreUnavailable when it is newer already."""
    package = distribution("procrastinate")
    installed, texts = package.version, Path(str(package.locate_file("procrastinate/sql")))
    made = [_numbers(row[0]) for row in await connection.fetch("SELECT version FROM job_schema")]
    newest = max(made, default=())
    if newest == _numbers(installed):
        return
    if newest > _numbers(installed):
        raise StoreUnavailable(
            f"the schema of the job engine is of version {'.'.join(map(str, newest))}; this program has {installed}",
            mend="use a newer rackwright",
        )
    async with connection.transaction():
        await connection.execute("CREATE SCHEMA IF NOT EXISTS procrastinate")
        await connection.execute("SET LOCAL search_path = procrastinate, public")
        for statements in _steps(texts, newest) if made else [texts / "schema.sql"]:
            await connection.execute(statements.read_text(encoding="utf-8"))
        await connection.execute(_FUNCTIONS)
        await connection.execute("SET LOCAL search_path = DEFAULT")
        await connection.execute("INSERT INTO job_schema (version) VALUES ($1)", installed)


def _steps(texts: Path, after: tuple[int, ...]) -> list[Path]:
    """The statements of every step that came with a version after this one, in order."""
    files = sorted((texts / "migrations").glob("*.sql"), key=lambda file: _order(file.name))
    return [file for file in files if _order(file.name)[:3] > after]


def _order(name: str) -> tuple[int, ...]:
    found = _STEP.match(name)
    return tuple(map(int, found.groups())) if found else ()


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split("."))
