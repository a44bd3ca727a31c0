"""Put the machine under load and see whether it holds: processors, memory, disks, and the network between a pair."""

from __future__ import annotations

import hashlib
import os
import socket
import threading
import time
from collections.abc import Callable
from typing import Any

from rackwright.agent import disks, hardware, reading, writing
from rackwright.agent.disks import Disk
from rackwright.agent.job import Failed, Job, Retry

PORT = 8487
"""TCP port on which the machines of a pair meet."""
PIECE = 1 << 20
_PATTERNS = (0x00, 0xFF, 0x55, 0xAA)


def burn_in(job: Job) -> dict[str, Any]:
    """Run the tests that were given seconds, one after the other. Raises Failed by the first that fails."""
    tests: dict[str, Callable[[Job, float], dict[str, Any]]] = {
        "cpu": _cpu,
        "memory": _memory,
        "disk": _disk,
        "network": _network,
    }
    facts: dict[str, Any] = {}
    for name, test in tests.items():
        seconds = job.seconds(name)
        if seconds > 0:
            job.say(f"{name}: {seconds:g} s\n")
            facts[f"tests.{name}"] = {"passed": True, "seconds": seconds, **test(job, seconds)}
            job.say(f"{name}: passed\n")
    return facts


def _cpu(job: Job, seconds: float) -> dict[str, Any]:
    """The same sums on every thread: one that differs has a processor that errs. hashlib lets go of the interpreter's
    lock for large pieces, so threads load every core."""
    piece = bytes(range(256)) * 4096
    right = hashlib.sha256(piece).digest()
    end = time.monotonic() + seconds

    rounds: list[int] = []
    wrong: list[int] = []

    def load(core: int) -> None:
        _stay_on(core)
        done = 0
        while time.monotonic() < end and not job.cancelled.is_set():
            if hashlib.sha256(piece).digest() != right:
                wrong.append(core)
                return
            done += 1
        rounds.append(done)

    cores = sorted(os.sched_getaffinity(0))
    threads = [threading.Thread(target=load, args=(core,), daemon=True) for core in cores]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    job.check()
    if wrong:
        raise Failed(f"processor {', '.join(map(str, wrong))} summed wrongly")
    return {"threads": len(cores), "bytes_per_second": int(sum(rounds) * len(piece) / seconds)}


def _memory(job: Job, seconds: float) -> dict[str, Any]:
    """Patterns into most of what is free, and back. Memory that corrects itself tells how often it had to."""
    free = _available()
    size = int(job.seconds("memory_bytes")) or free * 7 // 10
    size = max(PIECE, min(size, free * 9 // 10) // PIECE * PIECE)
    before = hardware.memory()["corrected_errors"]
    block, end, passes = bytearray(size), time.monotonic() + seconds, 0
    view = memoryview(block)
    while passes == 0 or time.monotonic() < end:
        pattern = bytes([_PATTERNS[passes % len(_PATTERNS)]]) * PIECE
        for place in range(0, size, PIECE):
            view[place : place + PIECE] = pattern
        for place in range(0, size, PIECE):
            job.check()
            if view[place : place + PIECE] != pattern:
                raise Failed(f"memory changed at {place} of {size} bytes, pattern {pattern[0]:#04x}")
        passes += 1
    corrected = hardware.memory()["corrected_errors"] - before
    return {"bytes": size, "passes": passes, "corrected_errors": corrected}


def _disk(job: Job, seconds: float) -> dict[str, Any]:
    """Read every disk for its share of the time. With ``disk_write`` the disks of ``disks`` are written and read back:
    what was on them is lost."""
    named = {str(serial) for serial in job.parameters.get("disks") or ()}
    writes = bool(job.parameters.get("disk_write"))
    chosen = [disk for disk in disks.disks() if not named or disk.serial in named]
    if writes and not named:
        raise Failed("writing needs disks that are named (give their serials in `disks`)")
    if named - {disk.serial for disk in chosen}:
        raise Failed(f"no disk has the serial {', '.join(sorted(named - {disk.serial for disk in chosen}))}")
    rates = {}
    for disk in chosen:
        if writes and (used := disks.users(disk)):
            raise Failed(f"{disk.path} is in use: {'; '.join(used)}")
        try:
            rates[disk.serial or disk.name] = (_write_and_read if writes else _read)(job, disk, seconds / len(chosen))
        except OSError as error:
            raise Failed(f"{disk.path} failed: {error.strerror}") from None
    return {"written": writes, "bytes_per_second": rates}


def _read(job: Job, disk: Disk, seconds: float) -> int:
    """From places all over the disk, so that a worn region is met."""
    end, read, step = time.monotonic() + seconds, 0, max(PIECE, disk.bytes // 1024 // PIECE * PIECE)
    began, place = time.monotonic(), 0
    with open(disk.path, "rb", buffering=0) as file:
        writing.forget_cache(file.fileno())
        while time.monotonic() < end:
            job.check()
            file.seek(place)
            read += len(file.read(PIECE))
            place = (place + step) % max(PIECE, disk.bytes)
    return int(read / max(0.001, time.monotonic() - began))


def _write_and_read(job: Job, disk: Disk, seconds: float) -> int:
    end, done, place, began = time.monotonic() + seconds, 0, 0, time.monotonic()
    with open(disk.path, "r+b", buffering=0) as file:
        while time.monotonic() < end:
            job.check()
            piece = hashlib.shake_128(place.to_bytes(8, "big")).digest(PIECE)[: max(0, disk.bytes - place)]
            os.pwrite(file.fileno(), piece, place)
            writing.forget_cache(file.fileno())
            if os.pread(file.fileno(), len(piece), place) != piece:
                raise Failed(f"{disk.path} gave back other bytes than were written at {place}")
            done += 2 * len(piece)
            place = (place + PIECE) % max(PIECE, disk.bytes)
    return int(done / max(0.001, time.monotonic() - began))


def _network(job: Job, seconds: float) -> dict[str, Any]:
    """Both machines of a pair send and receive at once. The first to come waits for the other."""
    peer, port = job.text("peer"), int(job.seconds("port")) or PORT
    if not peer:
        raise Failed("no peer is named (give the address of the other machine in `peer`)")
    heard: list[int] = []
    with socket.create_server(("", port), reuse_port=False) as ear:
        listener = threading.Thread(target=_hear, args=(job, ear, seconds, heard), daemon=True)
        listener.start()
        sent = _send(job, peer, port, seconds)
        listener.join(seconds + 60)
    if not heard:
        raise Retry(f"{peer} did not send anything to port {port}")
    bits = {"sent": int(sent * 8 / seconds), "received": int(heard[0] * 8 / seconds)}
    least = job.seconds("network_min")
    if min(bits.values()) < least:
        raise Failed(f"the network to {peer} gave {bits} bits per second, {least:g} are wanted")
    return {"peer": peer, "bits_per_second": bits}


def _hear(job: Job, ear: socket.socket, seconds: float, heard: list[int]) -> None:
    ear.settimeout(60.0)
    try:
        caller, _ = ear.accept()
    except OSError:
        return
    with caller:
        caller.settimeout(seconds + 30)
        total = 0
        try:
            while not job.cancelled.is_set() and (piece := caller.recv(PIECE)):
                total += len(piece)
        except OSError as error:
            job.say(f"receiving broke off: {error}\n")
            return
    heard.append(total)


def _send(job: Job, peer: str, port: int, seconds: float) -> int:
    patience, total, piece = time.monotonic() + 60.0, 0, bytes(PIECE)
    while True:
        job.check()
        try:
            line = socket.create_connection((peer, port), timeout=5.0)
            break
        except OSError as error:
            if time.monotonic() > patience:
                raise Retry(f"{peer} does not listen on port {port}: {error}") from None
            time.sleep(0.5)
    with line:
        end = time.monotonic() + seconds
        try:
            while time.monotonic() < end:
                job.check()
                line.sendall(piece)
                total += len(piece)
        except OSError as error:
            raise Failed(f"the network to {peer} broke off after {total} bytes: {error}") from None
    return total


def _stay_on(core: int) -> None:
    try:
        os.sched_setaffinity(0, {core})
    except OSError:
        return


def _available() -> int:
    lines = reading.whole("/proc/meminfo").splitlines()
    said = {line.split(":")[0]: line.split()[1] for line in lines if line.split()[1:]}
    return int(said.get("MemAvailable", "65536")) * 1024
