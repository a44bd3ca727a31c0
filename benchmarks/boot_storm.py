"""Many machines get their power back at the same moment and boot from one rack.

Each asks for its script, its kernel and its ramdisk. The peer is nginx with the same files and scripts of the same
length, in turns with the rack in the same run. Told are bytes a second, scripts a second, when the last machine was
through, and the memory of the rack before and after.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.storm import servers
from benchmarks.storm.machines import Stormed, storm

MIB = 1 << 20
SCRIPTS = 20
"""Scripts that each machine fetches where only those are counted."""


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--machines", type=int, default=200)
    parser.add_argument("--kernel", type=int, default=8, help="MiB")
    parser.add_argument("--ramdisk", type=int, default=24, help="MiB")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--small", action="store_true", help="50 machines, small files, one round")
    parser.add_argument("--json", action="store_true", help="the last line is one JSON object")
    parser.add_argument("--serve", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.serve:
        asyncio.run(servers.serve(given.serve, given.machines))
        return
    if given.small:
        given.machines, given.kernel, given.ramdisk, given.rounds = 50, 2, 6, 1
    with tempfile.TemporaryDirectory(prefix="boot-storm-") as folder:
        found = measured(Path(folder), given)
    print(told(found))
    if given.json:
        print(json.dumps(found))


def measured(folder: Path, given: argparse.Namespace) -> dict[str, Any]:
    """The rack and nginx in turns, so many rounds."""
    folder.chmod(0o755)
    for part, size in (("kernel", given.kernel), ("ramdisk", given.ramdisk)):
        (folder / part).write_bytes(os.urandom(MIB) * size)
    image = servers.image_of(folder)
    with servers.door(folder, given.machines) as (process, port, tokens), servers.nginx(folder) as (other, peer):
        files = [f"/assets/{file.sha256}" for file in image.files]
        scripts = [f"/boot/{token}/ipxe?mac={servers.mac(id)}" for id, token in enumerate(tokens, start=1)]
        length = storm(port, [[scripts[0]]]).bytes
        (folder / "script").write_bytes(b"#" * length)
        ours, theirs = [[script, *files] for script in scripts], [["/script", "/kernel", "/ramdisk"]] * given.machines
        storm(port, ours), storm(peer, theirs)
        ids = (process.pid, other.pid)
        before, worked = servers.resident(process.pid), [servers.worked(id) for id in ids]
        stormed = [(storm(port, ours), storm(peer, theirs)) for _ in range(given.rounds)]
        worked = [servers.worked(id) - was for id, was in zip(ids, worked, strict=True)]
        many = [[script] * SCRIPTS for script in scripts]
        same = [["/script"] * SCRIPTS] * given.machines
        asked = [(storm(port, many), storm(peer, same)) for _ in range(given.rounds)]
        after = servers.resident(process.pid)
    return _found(given, stormed, asked, worked) | {"memory_before_mib": _mib(before), "memory_after_mib": _mib(after)}


def _found(
    given: argparse.Namespace,
    stormed: list[tuple[Stormed, Stormed]],
    asked: list[tuple[Stormed, Stormed]],
    worked: list[float],
) -> dict[str, Any]:
    rates = [[one.bytes / one.seconds for one in side] for side in zip(*stormed, strict=True)]
    gib = sum(ours.bytes for ours, _ in stormed) / 2**30
    scripts = [statistics.median(one.answers / one.seconds for one in side) for side in zip(*asked, strict=True)]
    return {
        "machines": given.machines,
        "mib_each": given.kernel + given.ramdisk,
        "rounds": given.rounds,
        "bytes_per_second": round(statistics.median(rates[0])),
        "nginx_bytes_per_second": round(statistics.median(rates[1])),
        "ratio": round(statistics.median(mine / its for mine, its in zip(*rates, strict=True)), 3),
        "last_through_seconds": round(statistics.median(max(ours.through) for ours, _ in stormed), 3),
        "scripts_per_second": round(scripts[0]),
        "nginx_static_per_second": round(scripts[1]),
        "processor_seconds_per_gib": round(worked[0] / gib, 3),
        "nginx_processor_seconds_per_gib": round(worked[1] / gib, 3),
        "load": round(os.getloadavg()[0], 2),
    }


def _mib(bytes_: int) -> float:
    return round(bytes_ / MIB, 1)


def told(found: dict[str, Any]) -> str:
    """The figures for people."""
    return (
        f"{found['machines']} machines, {found['mib_each']} MiB each, all at once\n"
        f"  files    {found['bytes_per_second'] / MIB:8.0f} MiB/s   nginx "
        f"{found['nginx_bytes_per_second'] / MIB:8.0f} MiB/s   ratio {found['ratio']}\n"
        f"  processor {found['processor_seconds_per_gib']} s a GiB, nginx {found['nginx_processor_seconds_per_gib']}\n"
        f"  scripts  {found['scripts_per_second']:8d} /s      nginx, a file {found['nginx_static_per_second']} /s\n"
        f"  memory   {found['memory_before_mib']} MiB before, {found['memory_after_mib']} MiB after"
    )


if __name__ == "__main__":
    main()
