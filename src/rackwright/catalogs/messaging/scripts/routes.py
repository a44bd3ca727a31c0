#!/usr/bin/env python3
"""Ask a server on its monitoring port whether it is well and in touch with every other member."""

from __future__ import annotations

import json
import os
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any

PATIENCE = 60.0  # seconds for the routes to come up
PAUSE = 0.25  # seconds between two questions
ONE_QUESTION = 5.0  # seconds

opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def asked(base: str, path: str) -> dict[str, Any]:
    """Give the answer of the server; raises OSError when it gives none."""
    with opener.open(f"{base}/{path}", timeout=ONE_QUESTION) as answer:
        told: dict[str, Any] = json.load(answer)
    return told


def fault(base: str, name: str, others: set[str]) -> str:
    """Say what is not yet as it should be; empty when all is well."""
    try:
        health, about, routes = asked(base, "healthz"), asked(base, "varz"), asked(base, "routez")
    except OSError as error:
        return f"{base} does not answer: {error}"
    if health.get("status") != "ok":
        return f"{base}/healthz says {health}"
    if about.get("server_name") != name:
        return f"at {base} is the server {about.get('server_name')}, not {name}"
    met = {route.get("remote_name") for route in routes.get("routes") or []}
    missing = sorted(others - met)
    return f"no route to {', '.join(missing)}" if missing else ""


def main() -> None:
    """Write ``nats.verified`` once all is well; give up with the reason when it does not become so."""
    inputs = json.loads(Path(os.environ["RACKWRIGHT_INPUTS"]).read_text(encoding="utf-8"))
    name, address = inputs["node"]["name"], inputs["address"]
    base = f"http://{address}:{inputs['monitor_port']}"
    others = set(inputs["members"]) - {name}
    end, told = time.monotonic() + PATIENCE, ""
    while wrong := fault(base, name, others):
        if wrong != told:
            print(wrong, flush=True)
            told = wrong
        if time.monotonic() > end:
            sys.exit(f"after {PATIENCE:g} s still: {wrong}")
        time.sleep(PAUSE)
    verified = {"client": f"{address}:{inputs['client_port']}", "routes": len(others), "service": inputs["service"]}
    Path(os.environ["RACKWRIGHT_OUTPUT"]).write_text(json.dumps({"nats.verified": verified}), encoding="utf-8")
    print(f"{name} is in touch with all {len(others)} others")


main()
