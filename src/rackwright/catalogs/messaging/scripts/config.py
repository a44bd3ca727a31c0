#!/usr/bin/env python3
"""Render a server's configuration: as a fact for people, and as the file that the server reads."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any


def rendered(inputs: dict[str, Any]) -> str:
    """Give the configuration: the same facts give the same text, to the byte. It holds no secret."""
    name, address = inputs["node"]["name"], inputs["address"]
    routes = [f'    "nats-route://{place}"' for seed, place in sorted(inputs["seeds"].items()) if seed != name]
    accounts = [
        f'  "{account}": {{ users: [ {{ nkey: {key} }} ] }}' for account, key in sorted(inputs["accounts"].items())
    ]
    return "\n".join([
        f'server_name: "{name}"',
        f'listen: "{address}:{inputs["client_port"]}"',
        f'http: "{address}:{inputs["monitor_port"]}"',
        f"max_payload: {inputs['max_payload']}",
        f"max_connections: {inputs['max_connections']}",
        f'write_deadline: "{inputs["write_deadline"]}s"',
        f"debug: {'false' if inputs['log'] == 'normal' else 'true'}",
        f"trace: {'true' if inputs['log'] == 'trace' else 'false'}",
        "cluster {",
        f'  name: "{inputs["cluster_name"]}"',
        f'  listen: "{address}:{inputs["route_port"]}"',
        # Else a server passes on the address that a caller's connection comes from: any address of its machine.
        f'  advertise: "{address}:{inputs["route_port"]}"',
        "  routes: [",
        *routes,
        "  ]",
        "}",
        "accounts {",
        *accounts,
        "}",
        "",
    ])  # fmt: skip


def main() -> None:
    """Write the file ``nats.conf`` of the state folder at once, then the fact ``nats.config``."""
    inputs = json.loads(Path(os.environ["RACKWRIGHT_INPUTS"]).read_text(encoding="utf-8"))
    text = rendered(inputs)
    target = Path(os.environ["RACKWRIGHT_STATE"], "nats.conf")
    unborn = target.with_suffix(".new")
    unborn.write_text(text, encoding="utf-8")
    unborn.rename(target)
    Path(os.environ["RACKWRIGHT_OUTPUT"]).write_text(json.dumps({"nats.config": text}), encoding="utf-8")
    print(text)


main()
