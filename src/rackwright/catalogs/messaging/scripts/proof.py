#!/usr/bin/env python3
"""Prove the cluster as its clients see it: in every account a message goes in at one server and out at another.

Speaks the text protocol of NATS (INFO, CONNECT, SUB, PUB, MSG, PING) with a key instead of a password.
"""

from __future__ import annotations

import base64
import json
import os
import socket
import sys
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(os.environ["RACKWRIGHT_FILES"], os.environ["NKEYS"]).parent))

from nkeys import public_key, sign

PATIENCE = 30.0  # seconds for one message to arrive
ONE_ANSWER = 5.0  # seconds
AGAIN = 0.1  # seconds; what is sent before the far server knows of the subscriber is lost, so it is sent again


class Client:
    """A client of one server, logged in with the secret half of an account's key."""

    def __init__(self, place: str, seed: str) -> None:
        host, _, port = place.rpartition(":")
        self.socket = socket.create_connection((host, int(port)), timeout=ONE_ANSWER)
        self.lines = self.socket.makefile("rb")
        verb, _, about = self.line().partition(" ")
        if verb != "INFO":
            raise OSError(f"{place} is no NATS server: it says {verb!r}")
        signature = sign(seed, json.loads(about)["nonce"].encode())
        self.tell("CONNECT " + json.dumps(introduction(public_key(seed), signature)))
        self.ping()

    def tell(self, text: str) -> None:
        """Send one line."""
        self.socket.sendall(text.encode() + b"\r\n")

    def line(self) -> str:
        """Give the next line of the server. Raises OSError when it closes or complains."""
        line = self.lines.readline().decode().strip()
        if not line or line.startswith("-ERR"):
            raise OSError(line or "the server closed the connection")
        return line

    def ping(self) -> None:
        """Return once the server has taken everything that was told so far."""
        self.tell("PING")
        while self.line() != "PONG":
            pass

    def received(self, patience: float) -> str | None:
        """Give the next message; None when none comes in ``patience`` seconds."""
        self.socket.settimeout(patience)
        try:
            line = self.line()
            while not line.startswith("MSG "):
                if line == "PING":
                    self.tell("PONG")
                line = self.line()
            return self.line()
        except TimeoutError:
            # A buffered reader is of no use after a timeout.
            self.lines = self.socket.makefile("rb")
            return None
        finally:
            self.socket.settimeout(ONE_ANSWER)

    def close(self) -> None:
        """Leave."""
        self.lines.close()
        self.socket.close()


def introduction(public: str, signature: bytes) -> dict[str, Any]:
    """Give the options of CONNECT for a client that proves itself by a signature of the server's nonce."""
    text = base64.urlsafe_b64encode(signature).decode().rstrip("=")
    return {"verbose": False, "pedantic": False, "lang": "rackwright", "version": "1", "nkey": public, "sig": text}


def passes_on(source: str, target: str, seed: str) -> float:
    """Send a message in at one server until it comes out at the other; gives the seconds that it took."""
    subject, text = f"rackwright.proof.{os.getpid()}", f"proof {time.time_ns()}"
    listener, speaker = Client(target, seed), Client(source, seed)
    began = time.monotonic()
    try:
        listener.tell(f"SUB {subject} 1")
        listener.ping()
        while time.monotonic() - began < PATIENCE:
            speaker.tell(f"PUB {subject} {len(text)}\r\n{text}")
            if listener.received(AGAIN) == text:
                return time.monotonic() - began
        raise OSError(f"no message came through in {PATIENCE:g} s")
    finally:
        listener.close()
        speaker.close()


def main() -> None:
    """Try every account between the first and the last server; write ``messaging.proof``."""
    inputs = json.loads(Path(os.environ["RACKWRIGHT_INPUTS"]).read_text(encoding="utf-8"))
    servers = {name: inputs["verified"][name]["client"] for name in sorted(inputs["verified"])}
    first, last = min(servers), max(servers)
    folder = Path(os.environ["RACKWRIGHT_STATE"], "accounts")
    for account in sorted(inputs["accounts"]):
        file = folder / f"{account}.nk"
        if not file.exists():
            sys.exit(f"the client key {file} is not here: let the task messaging-accounts run again")
        try:
            seed = file.read_text(encoding="ascii").strip()
            seconds = passes_on(servers[first], servers[last], seed)
        except OSError as error:
            sys.exit(f"account {account}, from {first} to {last}: {error}")
        print(f"account {account}: a message went in at {first} and came out at {last} after {seconds:.3f} s")
    proof = {"from": first, "to": last, "accounts": sorted(inputs["accounts"])}
    Path(os.environ["RACKWRIGHT_OUTPUT"]).write_text(json.dumps({"messaging.proof": proof}), encoding="utf-8")


main()
