"""What is shipped for running as a service: units, users, folders, an image."""

from __future__ import annotations

import configparser
import json
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import click
import pytest

from rackwright.cli.main import cli

DEPLOY = Path(__file__).resolve().parents[2] / "deploy"
UNITS = sorted((DEPLOY / "systemd").glob("*.service"))


class Unit(configparser.RawConfigParser):
    """A unit file (systemd.syntax(7)): like an .ini file whose names keep their capitals."""

    def __init__(self, path: Path) -> None:
        super().__init__(strict=True, delimiters=("=",), comment_prefixes=("#",), interpolation=None)
        self.read_string(path.read_text(encoding="utf-8"))

    def optionxform(self, optionstr: str) -> str:
        return optionstr


def _command(words: list[str]) -> tuple[click.Command, list[str]]:
    """The command that a line calls, and the words after it."""
    command: click.Command = cli
    while isinstance(command, click.Group):
        found = command.get_command(click.Context(command), words.pop(0))
        assert found is not None
        command = found
    return command, words


def _options(command: click.Command) -> set[str]:
    return {name for parameter in command.params for name in parameter.opts}


@pytest.mark.parametrize("path", UNITS, ids=lambda path: path.stem)
def test_a_unit_calls_a_command_and_options_that_exist(path: Path) -> None:
    words = shlex.split(Unit(path)["Service"]["ExecStart"])
    assert words[0] == "/usr/bin/rackwright"
    command, rest = _command(words[1:])
    assert {word for word in rest if word.startswith("--")} <= _options(command)


@pytest.mark.parametrize("path", UNITS, ids=lambda path: path.stem)
def test_a_unit_runs_without_rights_and_comes_back(path: Path) -> None:
    service = Unit(path)["Service"]
    assert (service["User"], service["NoNewPrivileges"], service["Restart"]) == ("rackwright", "yes", "always")


@pytest.mark.parametrize("name", ["rackwright-api", "rackwright-conductor", "rackwright-rack@"])
def test_a_unit_is_told_when_its_service_is_ready_and_watches_its_loop(name: str) -> None:
    service = Unit(DEPLOY / "systemd" / f"{name}.service")["Service"]
    assert service["Type"] == "notify"
    assert int(service["WatchdogSec"]) > 0


@pytest.mark.parametrize("name", ["rackwright-api", "rackwright-conductor"])
def test_systemd_waits_longer_for_the_end_than_the_drain_lasts(name: str) -> None:
    service = Unit(DEPLOY / "systemd" / f"{name}.service")["Service"]
    words = shlex.split(service["ExecStart"])
    assert int(service["TimeoutStopSec"]) > float(words[words.index("--drain") + 1]) + 5
    assert "HUP" in service["ExecReload"]


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not installed here")
@pytest.mark.parametrize("path", [*UNITS, DEPLOY / "systemd" / "rackwright.target"], ids=lambda path: path.name)
def test_systemd_itself_finds_no_fault_in_a_unit(path: Path, tmp_path: Path) -> None:
    # The program is not installed at its place here: any that is there stands in for it.
    text = path.read_text(encoding="utf-8").replace("/usr/bin/rackwright", "/bin/true")
    file = tmp_path / path.name.replace("@.", "@r1.")
    file.write_text(text)
    ended = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(file)], capture_output=True, text=True, check=False
    )
    assert [line for line in ended.stderr.splitlines() if path.stem.rstrip("@") in line and "target" not in line] == []


def test_user_and_folders_are_declared() -> None:
    users = (DEPLOY / "sysusers.d" / "rackwright.conf").read_text(encoding="utf-8")
    assert re.search(r"^u rackwright ", users, re.MULTILINE)
    lines = (DEPLOY / "tmpfiles.d" / "rackwright.conf").read_text(encoding="utf-8").splitlines()
    folders = {words[1]: words[2:5] for line in lines if (words := line.split()) and words[0] == "d"}
    assert folders["/var/lib/rackwright"] == ["0700", "rackwright", "rackwright"]


def _instructions() -> list[tuple[str, str]]:
    """The instructions of the container file, each on one line."""
    text = (DEPLOY / "Containerfile").read_text(encoding="utf-8")
    lines = "\n".join(line for line in text.splitlines() if not line.startswith("#")).replace("\\\n", " ").splitlines()
    return [(words[0], words[1]) for line in lines if len(words := line.split(maxsplit=1)) == 2]


def test_the_image_runs_as_a_user_without_rights() -> None:
    last_stage = [name for name, _ in _instructions()][::-1].index("FROM")
    final = dict(_instructions()[-last_stage:])
    user, group = final["USER"].split(":")
    assert int(user) > 0
    assert int(group) > 0
    assert json.loads(final["ENTRYPOINT"]) == ["rackwright"]
    assert final["STOPSIGNAL"] == "SIGTERM"


def test_the_image_copies_only_what_is_there_and_takes_libraries_by_their_hashes() -> None:
    root = DEPLOY.parent
    copied = [words.split()[:-1] for name, words in _instructions() if name == "COPY" and "--from" not in words]
    assert [source for sources in copied for source in sources if not (root / source).exists()] == []
    assert any("--require-hashes" in words for name, words in _instructions() if name == "RUN")
