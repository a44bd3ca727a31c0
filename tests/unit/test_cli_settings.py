"""Where the command line finds the api and its token."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from rackwright.cli.settings import Settings, data_folder, read_settings, write_settings
from rackwright.core.errors import InvalidInput, NotAllowed


@pytest.fixture
def kept(tmp_path: Path) -> dict[str, str]:
    write_settings(tmp_path, Settings("http://kept:1", "kept"))
    return {"RACKWRIGHT_DATA": str(tmp_path)}


def test_settings_are_kept_for_their_owner_alone_and_read_again(tmp_path: Path, kept: dict[str, str]) -> None:
    assert stat.S_IMODE((tmp_path / "client.toml").stat().st_mode) == 0o600
    assert read_settings(None, None, kept) == Settings("http://kept:1", "kept")
    assert [path.name for path in tmp_path.iterdir()] == ["client.toml"]


def test_flags_go_before_the_environment_and_that_before_the_file(tmp_path: Path, kept: dict[str, str]) -> None:
    environment = {**kept, "RACKWRIGHT_SERVER": "http://env:2/", "RACKWRIGHT_TOKEN": "env"}
    assert read_settings(None, None, environment) == Settings("http://env:2", "env")
    file = tmp_path / "token"
    file.write_text("flag\n")
    assert read_settings("http://flag:3", str(file), environment) == Settings("http://flag:3", "flag")


def test_without_a_token_anywhere_it_is_said_how_to_get_one(tmp_path: Path) -> None:
    with pytest.raises(NotAllowed, match="no token") as caught:
        read_settings(None, None, {"RACKWRIGHT_DATA": str(tmp_path)})
    assert "rackwright up" in caught.value.mend


def test_a_broken_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "client.toml").write_text("token = ")
    with pytest.raises(InvalidInput) as caught:
        read_settings(None, None, {"RACKWRIGHT_DATA": str(tmp_path)})
    assert caught.value.where == str(tmp_path / "client.toml")


def test_the_data_folder_follows_xdg() -> None:
    assert data_folder({"XDG_DATA_HOME": "/x"}) == Path("/x/rackwright")
    assert data_folder({"XDG_DATA_HOME": "/x", "RACKWRIGHT_DATA": "/y"}) == Path("/y")
