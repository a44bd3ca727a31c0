"""A terminal on a machine's serial console."""

from __future__ import annotations

import os
import select
import socket
import sys
import termios
import tty
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rackwright.core.errors import Conflict

ESCAPE = b"\x1d"
"""Ctrl-]: lets the console go."""
PIECE = 4096


def attach(path: Path, where: str) -> None:
    """Join this terminal and the console's socket until Ctrl-], the end of input, or power-off. Raises Conflict when
    the machine is off."""
    with socket.socket(socket.AF_UNIX) as line:
        try:
            line.connect(str(path))
        except OSError:
            raise Conflict("the machine is off: its console is not there", where=where) from None
        with _raw():
            _join(line)


def _join(line: socket.socket) -> None:
    while True:
        ready, _, _ = select.select([line, sys.stdin], [], [])
        if line in ready:
            said = line.recv(PIECE)
            if not said:
                return
            os.write(sys.stdout.fileno(), said)
        if sys.stdin in ready:
            typed = os.read(sys.stdin.fileno(), PIECE)
            if not typed or ESCAPE in typed:
                return
            line.sendall(typed)


@contextmanager
def _raw() -> Iterator[None]:
    """Every key goes to the machine, none to this terminal."""
    if not sys.stdin.isatty():
        yield
        return
    before = termios.tcgetattr(sys.stdin)
    tty.setraw(sys.stdin)
    try:
        yield
    finally:
        termios.tcsetattr(sys.stdin, termios.TCSADRAIN, before)
