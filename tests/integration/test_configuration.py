"""Settings of processes: the option wins over the environment, that over the file, that over the default."""

from __future__ import annotations

from pathlib import Path

import pytest

from rackwright.commands.configuration import FILE, ConductorSetting, UpSetting, read_keep, read_setting
from rackwright.core.errors import InvalidInput
from rackwright.engine.retention import Keep


def test_without_anything_the_defaults_hold(tmp_path: Path) -> None:
    setting = read_setting(UpSetting, "up", {"data": tmp_path}, {})
    assert setting == UpSetting(data=tmp_path.resolve())
    assert setting.server == "http://127.0.0.1:8420"


def test_option_before_environment_before_file(tmp_path: Path) -> None:
    (tmp_path / FILE).write_text('[up]\nport = 1001\nconductors = 2\nracks = ["a"]\n')
    environment = {"RACKWRIGHT_DATA": str(tmp_path), "RACKWRIGHT_PORT": "1002", "RACKWRIGHT_RACKS": "b, c"}
    setting = read_setting(UpSetting, "up", {"data": None, "port": 1003}, environment)
    assert (setting.port, setting.racks, setting.conductors) == (1003, ("b", "c"), 2)


def test_each_process_reads_its_own_table(tmp_path: Path) -> None:
    (tmp_path / FILE).write_text("[up]\nport = 1001\n[conductor]\nworkers = 3\n")
    assert read_setting(ConductorSetting, "conductor", {"data": tmp_path}, {}).workers == 3


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[up]\nport = 'many'\n", "port"),
        ("[up]\nprot = 1\n", "prot"),
        ("up = 1\n", "table"),
        ("[up\n", "cannot be read"),
    ],
)
def test_a_wrong_file_is_told_with_its_name(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / FILE).write_text(text)
    with pytest.raises(InvalidInput, match=words) as raised:
        read_setting(UpSetting, "up", {"data": tmp_path}, {})
    assert FILE in raised.value.where


def test_a_wrong_variable_is_told_with_its_name(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput) as raised:
        read_setting(UpSetting, "up", {"data": tmp_path}, {"RACKWRIGHT_PORT": "many"})
    assert raised.value.where == "RACKWRIGHT_PORT"


def test_an_address_of_ip_6_stands_in_brackets(tmp_path: Path) -> None:
    assert UpSetting(data=tmp_path, host="::1", port=7).server == "http://[::1]:7"


def test_history_and_logs_are_kept_as_long_as_their_tables_or_the_environment_say(tmp_path: Path) -> None:
    assert read_keep(tmp_path, {}) == Keep()
    (tmp_path / FILE).write_text('[history]\nkeep = "10d"\n[logs]\nkeep = "1d12h"\n')
    assert read_keep(tmp_path, {}) == Keep(history=10 * 86400, logs=1.5 * 86400)
    assert read_keep(tmp_path, {"RACKWRIGHT_LOGS_KEEP": "2d"}).logs == 2 * 86400


@pytest.mark.parametrize("keep", ["soon", "5m", "", "-1d"])
def test_a_time_to_keep_that_is_none_or_too_short_is_told_with_its_place(tmp_path: Path, keep: str) -> None:
    (tmp_path / FILE).write_text(f'[history]\nkeep = "{keep}"\n')
    with pytest.raises(InvalidInput, match="history"):
        read_keep(tmp_path, {})
