#!/usr/bin/env python3
"""Give the page over HTTP from this machine, which has the address that it is to be read at. Argument: its folder."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(os.environ["RACKWRIGHT_FILES"], os.environ["UNIT"]).parent))

from unit import start, wait_for

inputs = json.loads(Path(os.environ["RACKWRIGHT_INPUTS"]).read_text(encoding="utf-8"))
address, port = inputs["address"], int(inputs["port"])
folder = Path(sys.argv[1])
folder.mkdir(mode=0o755, parents=True, exist_ok=True)
unborn = folder / ".index.new"
unborn.write_text(inputs["html"], encoding="utf-8")
unborn.chmod(0o644)
unborn.rename(folder / "index.html")
start("status-page", "Status page", f"/usr/bin/python3 -m http.server {port} --bind {address} --directory {folder}")
wait_for(address, port)
print(f"to be read at {inputs['page']}")
