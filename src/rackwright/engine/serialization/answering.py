"""The program of a process that answers chunks, and the way of speaking with it.

Both directions carry frames: one byte of kind, eight bytes of length (big endian), the data. The process says ``HELLO``
with the folder of the package that it runs. Then it is given a ``SETUP``, which holds until the next one, and
``CHUNK``s; to each chunk it gives one ``ANSWER``, or a ``FAULT`` with the words of the error. A setup is squeezed
(RFC 8878), and so is the answer to a chunk that came ``SQUEEZED``: those that only hand them on need not unpack them.
It ends with its input.
"""

from __future__ import annotations

import importlib
import os
import signal
import struct
import sys
import traceback
from collections.abc import Callable
from contextlib import suppress
from typing import IO, TypeAlias

import zstandard

import rackwright

HELLO, SETUP, CHUNK, SQUEEZED, ANSWER, FAULT = b"h", b"s", b"c", b"z", b"a", b"f"
Answering: TypeAlias = Callable[[bytes, bytes], bytes]
"""What computes: takes a setup and a chunk, gives the answer."""

_HEAD = struct.Struct(">cQ")


def main() -> None:
    """Answer what comes on stdin, by the function that the first argument names (``module:function``). Its module may
    have a function ``warm``, which makes ready what any chunk will need, and a function ``prepare``, which does so for
    those of a setup."""
    for number in (signal.SIGINT, signal.SIGTERM):
        # It ends with its input: a chunk that its starter wants to see finished is finished.
        signal.signal(number, signal.SIG_IGN)
    # What the function prints shall not be taken for an answer.
    with os.fdopen(os.dup(1), "wb") as answers, os.fdopen(os.dup(0), "rb") as questions:
        os.dup2(2, 1)
        answering = find(sys.argv[1])
        module = sys.modules[answering.__module__]
        getattr(module, "warm", lambda: None)()
        write_frame(answers, HELLO, os.path.dirname(rackwright.__file__).encode())
        serve(answering, questions, answers, getattr(module, "prepare", lambda setup: None))


def find(name: str) -> Answering:
    """Import what ``module:function`` names."""
    module, _, attribute = name.partition(":")
    found: Answering = getattr(importlib.import_module(module), attribute)
    return found


def serve(answering: Answering, questions: IO[bytes], answers: IO[bytes], prepare: Callable[[bytes], None]) -> None:
    """Answer until the questions end. Each new setup is prepared: the first chunk may yet be on its way."""
    setup = b""
    while (frame := read_frame(questions)) is not None:
        kind, data = frame
        if kind == SETUP:
            setup = zstandard.decompress(data)
            # What is wrong with it is told by the answer to its first chunk.
            with suppress(Exception):
                prepare(setup)
        else:
            write_frame(answers, *_answered(answering, setup, kind, data))


def squeezed(data: bytes) -> bytes:
    """Compress what travels. Data of nodes that are alike gets many times smaller, for less than its way costs."""
    return zstandard.compress(data, 1)


def _answered(answering: Answering, setup: bytes, kind: bytes, chunk: bytes) -> tuple[bytes, bytes]:
    try:
        if kind == SQUEEZED:
            return ANSWER, squeezed(answering(setup, zstandard.decompress(chunk)))
        return ANSWER, answering(setup, chunk)
    except Exception as error:
        traceback.print_exc()
        return FAULT, f"{type(error).__name__}: {error}".encode()


def write_frame(stream: IO[bytes], kind: bytes, data: bytes) -> None:
    """Write one frame. Raises OSError when nobody reads."""
    stream.write(_HEAD.pack(kind, len(data)))
    stream.write(data)
    stream.flush()


def read_frame(stream: IO[bytes]) -> tuple[bytes, bytes] | None:
    """Read one frame: its kind and data; None at the end, also at an end within a frame."""
    head = stream.read(_HEAD.size)
    if len(head) < _HEAD.size:
        return None
    kind, length = _HEAD.unpack(head)
    data = stream.read(length)
    return (kind, data) if len(data) == length else None
