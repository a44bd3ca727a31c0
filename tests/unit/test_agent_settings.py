"""An agent learns where its rack is from the kernel's command line or from a file."""

from __future__ import annotations

import json
from pathlib import Path

from rackwright.agent import settings
from rackwright.agent.settings import Settings


def test_the_command_line_names_door_token_request_and_system() -> None:
    line = (
        "quiet rackwright.door=http://10.0.0.1:8480 rackwright.token=abc rackwright.request=r1 rackwright.system=rescue"
    )
    assert settings.of_command_line(line) == Settings("http://10.0.0.1:8480", "abc", "r1", "rescue")


def test_bootif_of_pxelinux_names_the_interface() -> None:
    found = settings.of_command_line("rackwright.door=http://d BOOTIF=01-52-54-00-AA-BB-CC")
    assert found is not None
    assert found.mac == "52:54:00:aa:bb:cc"


def test_our_own_word_for_the_interface_wins() -> None:
    found = settings.of_command_line(
        "rackwright.door=http://d BOOTIF=01-52-54-00-aa-bb-cc rackwright.mac=52:54:00:00:00:01"
    )
    assert found is not None
    assert found.mac == "52:54:00:00:00:01"


def test_a_command_line_without_a_door_is_not_ours() -> None:
    assert settings.of_command_line("root=/dev/sda1 ro quiet") is None


def test_an_unknown_system_is_taken_for_discovery() -> None:
    found = settings.of_command_line("rackwright.door=http://d rackwright.system=other")
    assert found is not None
    assert found.system == "discovery"


def test_an_installed_system_reads_its_file(tmp_path: Path) -> None:
    file = tmp_path / "agent.json"
    file.write_text(json.dumps({"door": "http://d", "token": "t", "request": "r"}))
    assert settings.of_file(str(file)) == Settings("http://d", "t", "r", "installed")


def test_a_file_that_is_missing_or_broken_is_none(tmp_path: Path) -> None:
    broken = tmp_path / "broken.json"
    broken.write_text("{")
    assert settings.of_file(str(broken)) is None
    assert settings.of_file(str(tmp_path / "missing.json")) is None
