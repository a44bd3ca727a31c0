"""A door for agents: it decodes what they say as the product's messages do, hands out tasks, and serves files with
faults on demand."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import msgspec

from rackwright.core.machine_messages import (
    AgentTask,
    Ended,
    PhoneHome,
    Poll,
    RackKey,
    Register,
    Registered,
    Said,
    Work,
)

TOKEN = "token-of-n1"
_KINDS: dict[str, type[msgspec.Struct]] = {
    "register": Register,
    "poll": Poll,
    "log": Said,
    "result": Ended,
    "key": msgspec.Struct,
    "home": PhoneHome,
}


class AgentDoor:
    """What the agents said, and what they are to be told."""

    def __init__(self) -> None:
        self.said: dict[str, list[Any]] = {name: [] for name in _KINDS}
        self.tokens: dict[str, list[str]] = {name: [] for name in _KINDS}
        self.tasks: list[AgentTask] = []
        self.cancel: list[tuple[int, int]] = []
        self.files: dict[str, bytes] = {}
        self.break_after: list[int] = []
        """Bytes after which the next answers with a file break off."""
        self.refuse: dict[str, list[int]] = {}
        """Statuses with which the next messages of a kind are answered."""
        self.changes: dict[str, bytes] = {}
        """What a file becomes after it was asked for once."""
        self.ranges: list[str | None] = []
        self.clock = 0.0
        self.url = ""
        self._news = threading.Condition()

    def note(self, kind: str, message: Any, token: str) -> None:
        with self._news:
            self.said[kind].append(message)
            self.tokens[kind].append(token)
            self._news.notify_all()

    def wait(self, true: Callable[[], Any], seconds: float = 60.0) -> Any:
        """Wait until something that agents said makes this true."""
        with self._news:
            if not self._news.wait_for(true, seconds):
                raise AssertionError(f"it did not come; said: {self.said}")
            return true()

    def result(self, id: int) -> Ended:
        """How a task ended, once it has."""
        found: Ended = self.wait(lambda: next((said for said in self.said["result"] if said.id == id), None))
        return found

    def log(self, id: int) -> str:
        """All that a task said."""
        pieces = sorted((said for said in self.said["log"] if said.id == id), key=lambda said: said.offset)
        return b"".join(piece.data for piece in pieces).decode()

    def answer(self, kind: str, message: Any) -> Any:
        if kind == "register":
            return Registered(node="n1", token=TOKEN, heartbeat=0.2, clock=self.clock)
        if kind == "key":
            return RackKey("ssh-ed25519 AAAA rackwright")
        if kind != "poll":
            return {}
        if not self.tasks and not self.cancel:
            time.sleep(min(0.1, message.wait))
        tasks, self.tasks = self.tasks, []
        cancel, self.cancel = self.cancel, []
        return Work(tasks=tuple(tasks), cancel=tuple(cancel))


@contextmanager
def agent_door(address: str = "127.0.0.1") -> Iterator[AgentDoor]:
    """A door on a free port."""
    door = AgentDoor()

    class Answers(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, format: str, *args: object) -> None:
            pass

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            kind = self.path.rpartition("/")[2]
            if refused := door.refuse.get(kind):
                self._send(refused.pop(0), b"refused on demand")
                return
            message = msgspec.json.decode(body, type=_KINDS[kind])
            door.note(kind, message, self.headers.get("Authorization", "").removeprefix("Bearer "))
            self._send(200, msgspec.json.encode(door.answer(kind, message)))

        def do_GET(self) -> None:
            door.ranges.append(self.headers.get("Range"))
            data = door.files.get(self.path)
            if data is None:
                self._send(404, b"no such file")
                return
            if self.path in door.changes:
                door.files[self.path] = door.changes.pop(self.path)
            start = int((self.headers.get("Range") or "bytes=0-")[6:].rstrip("-"))
            self.send_response(206 if start else 200)
            self.send_header("Content-Length", str(len(data) - start))
            if start:
                self.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
            self.end_headers()
            most = door.break_after.pop(0) if door.break_after else len(data)
            self.wfile.write(data[start : start + most])
            self.close_connection = True

        def _send(self, status: int, body: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    server = ThreadingHTTPServer((address, 0), Answers)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    door.url = f"http://{address}:{server.server_port}"
    try:
        yield door
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
