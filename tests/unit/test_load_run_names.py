"""How a load run is named: by its id, the beginning of it, or its folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from rackwright.core.errors import NotFound
from rackwright.load.run_folder import RUN, find


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    for name in ("aa1", "aa2", "b[1]"):
        (tmp_path / name).mkdir()
        (tmp_path / name / RUN).touch()
    return tmp_path


@pytest.mark.parametrize("name", ["aa1", "b", "b[1]"])
def test_the_beginning_of_an_id_is_enough_and_its_signs_mean_nothing(runs: Path, name: str) -> None:
    assert find(runs, name).path.name.startswith(name)


@pytest.mark.parametrize("name", ["aa", "zz", "/no/such/folder", "../x"])
def test_a_name_of_none_or_of_many_is_a_clear_error(runs: Path, name: str) -> None:
    with pytest.raises(NotFound, match="runs are called"):
        find(runs, name)
