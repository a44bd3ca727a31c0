"""How fast the agent brings a packed image onto a disk, beside what a shell would do with the same programs.

A server of HTTP gives an image packed by zstd. Ours: the agent, which sums up, unpacks, writes and compares. The peer:
a small loop that fetches, `zstd` and `dd` in a pipe, and nothing compared. Both write the same file in turn, in rounds.
The third figure is the agent as it was: it also summed up what it had unpacked. In the ramdisk of the discovery system
sums are slower than here, for its Python has no OpenSSL: they are measured with that Python's own code too.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from unittest import mock

import zstandard

from rackwright.agent import disks
from rackwright.agent.actions import image
from rackwright.agent.disks import Disk
from rackwright.agent.door import Door
from rackwright.agent.job import Job
from rackwright.sim.qemu import found

MIB = 1 << 20
_FETCH = (
    "import shutil, sys, urllib.request; shutil.copyfileobj(urllib.request.urlopen(sys.argv[1]), sys.stdout.buffer)"
)


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:
        pass


class _Server(ThreadingHTTPServer):
    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that has got everything may hang up."""


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """The URL of a server of the files of a folder."""
    server = _Server(("127.0.0.1", 0), partial(_Quiet, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def content(size: int) -> bytes:
    """Bytes that pack about as well as a system does: a half that repeats, and a half that does not."""
    whole = b"".join(os.urandom(MIB // 4) + bytes(MIB // 4) + b"rackwright " * (MIB // 22) for _ in range(size // MIB))
    return whole[:size]


def by_agent(url: str, target: Path, given: dict[str, Any], work: Path) -> float:
    """Seconds that the agent takes."""
    job = Job({"url": "/image", "compression": "zstd", **given}, str(work), lambda text: None, Door(url))
    there = [Disk(target.name, str(target), "D1", target.stat().st_size)]
    began = time.perf_counter()
    with mock.patch.object(disks, "disks", return_value=there):
        image.write(job)
    return time.perf_counter() - began


def by_shell(url: str, target: Path) -> float:
    """Seconds that a pipe takes."""
    began = time.perf_counter()
    fetch = subprocess.Popen([sys.executable, "-c", _FETCH, f"{url}/image"], stdout=subprocess.PIPE)
    unpack = subprocess.Popen([found("zstd"), "-dcq"], stdin=fetch.stdout, stdout=subprocess.PIPE)
    words = [found("dd"), f"of={target}", "bs=1M", "iflag=fullblock", "conv=notrunc,fdatasync", "status=none"]
    subprocess.run(words, stdin=unpack.stdout, check=True)
    fetch.wait()
    unpack.wait()
    return time.perf_counter() - began


def sum_rates(data: bytes) -> dict[str, float]:
    """MiB a second of SHA-256: by OpenSSL, and by the code that Python brings itself."""
    rates = {}
    for name, make in (("openssl", hashlib.sha256), ("python", importlib.import_module("_sha256").sha256)):
        began = time.perf_counter()
        make(data).digest()
        rates[name] = round(len(data) / MIB / (time.perf_counter() - began), 1)
    return rates


def measured(size: int, rounds: int) -> dict[str, Any]:
    """Medians of seconds, and ratios to the peer."""
    raw = content(size)
    packed = zstandard.ZstdCompressor(level=9).compress(raw)
    given = {"sha256": hashlib.sha256(packed).hexdigest(), "raw_bytes": len(raw), "disk": {"serial": "D1"}}
    twice = {"raw_sha256": hashlib.sha256(raw).hexdigest(), "raw_bytes": len(raw), "disk": {"serial": "D1"}}
    times: dict[str, list[float]] = {"agent": [], "agent, summing twice": [], "peer": []}
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as folder:
        work = Path(folder)
        (work / "image").write_bytes(packed)
        target = work / "disk"
        with target.open("wb") as file:
            file.truncate(size + 16 * MIB)
        with served(work) as url:
            for _ in range(rounds):
                times["agent"].append(by_agent(url, target, given, work))
                times["agent, summing twice"].append(by_agent(url, target, twice, work))
                times["peer"].append(by_shell(url, target))
    seconds = {name: round(statistics.median(those), 2) for name, those in times.items()}
    return {
        "benchmark": "image_writing",
        "mib": size // MIB,
        "packed_mib": round(len(packed) / MIB, 1),
        "rounds": rounds,
        "seconds": seconds,
        "ratio": {name: round(taken / seconds["peer"], 2) for name, taken in seconds.items()},
        "sha256_mib_per_s": sum_rates(raw[: 64 * MIB]),
        "load": round(os.getloadavg()[0], 1),
    }


def main() -> None:
    """Measure and print."""
    words = argparse.ArgumentParser(description=__doc__)
    words.add_argument("--small", action="store_true", help="64 MiB in one round, instead of 512 in five")
    words.add_argument("--json", action="store_true", help="end with one line of JSON")
    asked = words.parse_args()
    if shutil.which("zstd") is None:
        print("left out: the program zstd is not installed")
        return
    said = measured(64 * MIB, 1) if asked.small else measured(512 * MIB, 5)
    for name, seconds in said["seconds"].items():
        print(f"{name:24}{seconds:8.2f} s{said['ratio'][name]:8.2f}")
    print(f"SHA-256, MiB/s: {said['sha256_mib_per_s']}; load average {said['load']}")
    if asked.json:
        print(json.dumps(said))


if __name__ == "__main__":
    main()
