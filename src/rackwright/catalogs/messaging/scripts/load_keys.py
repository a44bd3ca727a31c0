#!/usr/bin/env python3
"""Keys of those who put load on the cluster: CURVE pairs of ZeroMQ, made once. Secret halves stay in state folders.

    controller   makes the controller's pair, tells the public half
    agent        makes the pair of one agent, writes what it needs to come to the controller, tells the public half
    members      writes what the controller needs to let in exactly these agents

Who may take part is decided by these keys alone; the token that goes with them keeps loads of deployments apart.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import zmq

FOLDER = Path(os.environ["RACKWRIGHT_STATE"], "load")


def write(path: Path, content: dict[str, Any]) -> None:
    """Write a file for its owner alone; a half-written one can never be seen."""
    unborn = path.with_suffix(".new")
    unborn.unlink(missing_ok=True)
    with open(os.open(unborn, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="ascii") as file:
        json.dump(content, file)
        os.fsync(file.fileno())
    unborn.rename(path)


def kept_pair(name: str) -> dict[str, str]:
    """Give the pair of this name; a new one when there is none."""
    path = FOLDER / f"{name}.pair"
    if not path.exists():
        public, secret = zmq.curve_keypair()
        write(path, {"public": public.decode(), "secret": secret.decode()})
        print(f"made a key pair: {path}")
    pair: dict[str, str] = json.loads(path.read_text(encoding="ascii"))
    return pair


def main() -> None:
    """Do what the argument says, and give the fact that follows."""
    inputs = json.loads(Path(os.environ["RACKWRIGHT_INPUTS"]).read_text(encoding="utf-8"))
    FOLDER.mkdir(mode=0o700, exist_ok=True)
    facts: dict[str, Any]
    if sys.argv[1] == "controller":
        facts = {"load.controller": kept_pair("controller")["public"]}
    elif sys.argv[1] == "agent":
        pair, controller = kept_pair("agent"), inputs["controller"]
        write(FOLDER / "agent.key", {**pair, "controller": controller, "token": controller})
        facts = {"load.agent": pair["public"]}
    else:
        pair, agents = kept_pair("controller"), sorted(inputs["agents"].values())
        write(FOLDER / "controller.key", {**pair, "agents": agents, "token": pair["public"]})
        facts = {"load.agents": sorted(inputs["agents"])}
    Path(os.environ["RACKWRIGHT_OUTPUT"]).write_text(json.dumps(facts), encoding="utf-8")
    print(json.dumps(facts))


main()
