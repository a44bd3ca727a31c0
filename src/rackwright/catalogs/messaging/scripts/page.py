#!/usr/bin/env python3
"""Write the page that tells who is in the cluster, at once; the status server has it from there or from the facts."""

from __future__ import annotations

import html
import json
import os
from pathlib import Path

inputs = json.loads(Path(os.environ["RACKWRIGHT_INPUTS"]).read_text(encoding="utf-8"))
members = "\n".join(f"<li>{html.escape(name)}</li>" for name in inputs["members"])
folder = Path(os.environ["RACKWRIGHT_STATE"], "page")
folder.mkdir(exist_ok=True)
unborn = folder / ".index.new"
text = f"<!doctype html>\n<title>messaging</title>\n<ul>\n{members}\n</ul>\n"
unborn.write_text(text, encoding="utf-8")
unborn.rename(folder / "index.html")
url = f"http://{inputs['address']}:{inputs['port']}/"
Path(os.environ["RACKWRIGHT_OUTPUT"]).write_text(
    json.dumps({"status.page": url, "status.html": text}), encoding="utf-8"
)
print(f"{len(inputs['members'])} members; to be read at {url}")
