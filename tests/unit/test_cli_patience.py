"""What only watches goes on while the api is away for a moment; the program itself starts light."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable

import pytest

from rackwright.cli import patience
from rackwright.cli.exits import ServerProblem
from rackwright.cli.patience import patiently
from rackwright.core.errors import NotFound, RackwrightError, StoreUnavailable


def _problem(status: int) -> ServerProblem:
    return ServerProblem("no", where="", mend="", status=status, faults=(), request_id="")


def _after(*errors: RackwrightError) -> Callable[[], str]:
    left = list(errors)

    def ask() -> str:
        if left:
            raise left.pop(0)
        return "answer"

    return ask


@pytest.fixture(autouse=True)
def no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patience, "_PAUSE", 0.0)


def test_an_api_or_a_database_that_comes_back_is_waited_for() -> None:
    assert patiently(_after(StoreUnavailable("away"), _problem(503))) == "answer"


def test_other_errors_are_told_at_once() -> None:
    with pytest.raises(NotFound):
        patiently(_after(NotFound("nothing")))
    with pytest.raises(ServerProblem):
        patiently(_after(_problem(500)))


def test_patience_has_an_end() -> None:
    with pytest.raises(StoreUnavailable):
        patiently(_after(*[StoreUnavailable("away")] * 1000))


def test_the_list_of_commands_loads_nothing_heavy() -> None:
    heavy = "{'httpx', 'rich', 'yaml', 'asyncpg', 'starlette', 'yaql', 'structlog', 'asyncio', 'msgspec'}"
    program = f"import sys, rackwright.cli.main; print(sorted({heavy} & set(sys.modules)))"
    said = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert said.stdout == "[]\n"
