"""Streams are unpacked piece by piece; one that is damaged or cut off never passes for whole."""

from __future__ import annotations

import gzip
import shutil
import subprocess

import pytest

from rackwright.agent.unpacking import Damaged, unpacked

DATA = bytes(3 << 20) + b"end"


def pieces(data: bytes, size: int = 1000) -> list[bytes]:
    return [data[place : place + size] for place in range(0, len(data), size)]


def test_gzip_of_several_members_comes_out_whole() -> None:
    packed = gzip.compress(DATA) + gzip.compress(b"more")
    assert b"".join(unpacked(pieces(packed), "gzip")) == DATA + b"more"


def test_a_small_piece_that_unpacks_to_much_is_given_in_bounded_pieces() -> None:
    assert max(len(piece) for piece in unpacked([gzip.compress(DATA)], "gzip")) <= 1 << 20


@pytest.mark.parametrize("keep", [0, 10, -5])
def test_gzip_that_is_cut_off_is_damaged(keep: int) -> None:
    with pytest.raises(Damaged):
        list(unpacked(pieces(gzip.compress(DATA)[:keep]), "gzip"))


@pytest.mark.skipif(shutil.which("zstd") is None, reason="the program zstd is not installed")
def test_zstd_comes_out_whole_and_cut_off_it_is_damaged() -> None:
    packed = subprocess.run(["zstd", "-c"], input=DATA, capture_output=True, check=True).stdout
    assert b"".join(unpacked(pieces(packed), "zstd")) == DATA
    with pytest.raises(Damaged):
        list(unpacked(pieces(packed[:-3]), "zstd"))


@pytest.mark.skipif(shutil.which("zstd") is None, reason="the program zstd is not installed")
def test_what_goes_wrong_at_the_source_comes_through_zstd() -> None:
    def broken() -> list[bytes]:
        raise RuntimeError("the source is gone")

    with pytest.raises(RuntimeError, match="the source is gone"):
        list(unpacked((piece for piece in broken()), "zstd"))


def test_an_unknown_compression_is_named() -> None:
    with pytest.raises(Damaged, match="lzma"):
        unpacked([], "lzma")
