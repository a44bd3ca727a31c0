"""Scripts that run in the rack's own process find what they would find in one of their own, and change nothing here."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from rackwright.core.errors import Permanent
from rackwright.drivers.jig.script import ScriptJig
from rackwright.drivers.jig.script_inside import InsideScripts
from tests.integration.jig_conformance import make_work

SCRIPT = """#!/usr/bin/env python3
import os
import os.path
import sys
from os.path import join
from pathlib import Path
import beside

inputs = Path(os.environ["RACKWRIGHT_INPUTS"]).read_text()
print("said", sys.argv[1])
os.environ["LEFT"] = "behind"
found = [os.getenv("COLOUR"), os.environ["GIVEN"], join("a", "b"), beside.node(), '"colour"' in inputs]
Path(os.environ["RACKWRIGHT_OUTPUT"]).write_text(f"found={found}")
"""
BESIDE = "import os\n\n\ndef node():\n    return os.environ['RACKWRIGHT_NODE']\n"
PARAMETERS = {"script": "scripts/one.py", "args": ["this"], "env": {"GIVEN": "yes"}}
FILES = {"scripts/one.py": SCRIPT, "scripts/beside.py": BESIDE}


@pytest.fixture
def jig(tmp_path: Path) -> InsideScripts:
    return InsideScripts(str(tmp_path / "scripts"), ScriptJig(str(tmp_path / "processes")))


async def test_a_script_finds_its_environment_words_files_and_modules(jig: InsideScripts, tmp_path: Path) -> None:
    for node in ("n1", "n2"):
        work = make_work(tmp_path, PARAMETERS, files=FILES, inputs={"colour": "red"}, scope=node)
        outcome = await jig.run(work)
        assert outcome.facts == {"found": f"['red', 'yes', 'a/b', '{node}', True]"}
        assert Path(work.log).read_text() == "said this\n"
        assert os.listdir(work.folder) == [], "nothing is left to be cleared"
    assert not {"LEFT", "GIVEN", "RACKWRIGHT_NODE"} & os.environ.keys()


async def test_a_script_that_ends_badly_fails_with_its_word(jig: InsideScripts, tmp_path: Path) -> None:
    files = {"scripts/one.py": "#!/usr/bin/env python3\nimport sys\nsys.exit('no; because')\n"}
    with pytest.raises(Permanent, match="no; because"):
        await jig.run(make_work(tmp_path, PARAMETERS, files=files))


async def test_racks_that_share_it_end_no_process_of_each_other(tmp_path: Path) -> None:
    opened: list[str] = []

    class Other(ScriptJig):
        async def open(self) -> None:
            opened.append("once")

    jig = InsideScripts(str(tmp_path / "scripts"), Other(str(tmp_path / "processes")))
    for _ in range(3):
        await jig.open()
    assert opened == ["once"]
