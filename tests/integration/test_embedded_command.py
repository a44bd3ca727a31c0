"""``rackwright postgres``: an operator has the server running and reaches it with the line that was printed."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from rackwright.commands.postgres import postgres
from rackwright.store import embedded
from tests.integration.embedded_servers import PATIENCE, ask, postmaster

COMMAND = "from rackwright.commands.postgres import postgres; postgres()"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_the_printed_line_reaches_the_server_until_the_command_is_ended(
    tmp_path: Path, number: signal.Signals
) -> None:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", COMMAND, "--data", str(tmp_path)), stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stdout is not None
    async with asyncio.timeout(PATIENCE):
        dsn = (await process.stdout.readline()).decode().strip()
    assert await ask(dsn, "SELECT current_user::text") == "rackwright"
    process.send_signal(number)
    said = (await process.communicate())[1].decode()
    assert process.returncode == 0
    assert said.startswith("making a new PostgreSQL data folder\nPostgreSQL is ready; psql and pg_dump are in ")
    assert said.endswith("/bin; Ctrl-C ends this\n")
    assert await embedded.wait_stopped(tmp_path)
    assert postmaster(tmp_path) == 0


def test_the_data_folder_must_be_given() -> None:
    result = CliRunner().invoke(postgres, [], env={"RACKWRIGHT_DATA": ""})
    assert result.exit_code == 2
    assert "--data" in result.output
