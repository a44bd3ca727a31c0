"""Compressed streams: bytes in, bytes out, whatever the size."""

from __future__ import annotations

import shutil
import subprocess
import threading
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from typing import IO

PIECE = 1 << 20


class Damaged(Exception):
    """The stream is not what its compression says, or ends too early."""


def unpacked(pieces: Iterable[bytes], compression: str) -> Iterator[bytes]:
    """The bytes of a stream once unpacked: ``none``, ``gzip`` (RFC 1952, several members too) or ``zstd`` (RFC 8878, by
    the program of that name). Raises Damaged; what ``pieces`` raises comes through."""
    unpack: dict[str, Callable[[Iterable[bytes]], Iterator[bytes]]] = {"none": iter, "gzip": _gzip, "zstd": _zstd}
    if compression not in unpack:
        raise Damaged(f"the compression {compression!r} is not known (it is one of {', '.join(unpack)})")
    return unpack[compression](pieces)


def _gzip(pieces: Iterable[bytes]) -> Iterator[bytes]:
    stream, begun = zlib.decompressobj(31), False
    try:
        for piece in pieces:
            rest = piece
            while rest:
                if stream.eof:
                    stream = zlib.decompressobj(31)
                begun = True
                yield stream.decompress(rest, PIECE)
                rest = stream.unused_data if stream.eof else stream.unconsumed_tail
            # zlib may hold back what did not fit, with no input left.
            while begun and not stream.eof and (data := stream.decompress(b"", PIECE)):
                yield data
    except zlib.error as error:
        raise Damaged(f"the gzip stream is damaged: {error}") from None
    if not begun or not stream.eof:
        raise Damaged("the gzip stream ends too early")


def _zstd(pieces: Iterable[bytes]) -> Iterator[bytes]:
    program = shutil.which("zstd")
    if program is None:
        raise Damaged("there is no program zstd here (use an image that is packed with gzip)")
    faults: list[Exception] = []
    with subprocess.Popen(
        [program, "-dcq", "--long=31"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        pipesize=PIECE,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        feeder = threading.Thread(target=_feed, args=(pieces, process.stdin, faults), daemon=True)
        feeder.start()
        whole = False
        try:
            while data := process.stdout.read(PIECE):
                yield data
            whole = True
        finally:
            if not whole:
                process.kill()
        feeder.join()
        said = process.stderr.read(2000).decode(errors="replace").strip()
        code = process.wait()
    if faults:
        raise faults[0]
    if code:
        raise Damaged(f"the zstd stream is damaged: {said or f'exit code {code}'}")


def _feed(pieces: Iterable[bytes], pipe: IO[bytes], faults: list[Exception]) -> None:
    try:
        for piece in pieces:
            pipe.write(piece)
    except BrokenPipeError:
        return
    except Exception as error:  # It is raised again where the stream is read.
        faults.append(error)
    finally:
        with suppress(BrokenPipeError):
            pipe.close()
