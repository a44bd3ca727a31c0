"""What is told of a boot follows from the console's log."""

from __future__ import annotations

from pathlib import Path

from rackwright.sim.console import ConsoleWatch

BIOS = [
    b"SeaBIOS (version 1.16.2-debian-1.16.2-1)\r\n",
    b"iPXE initialising devices...ok\r\n",
    b"Configuring (net0 52:54:00:40:00:01)............ ok\r\nnet0: 10.77.0.11/255.255.255.0\r\n",
    b"http://10.77.0.1:8480/boot/abc/ipxe?mac=52:54:00:40:00:01... ok\r\n",
    b"http://10.77.0.1:8480/assets/51349501a3d1ff83836437d2b365fd2d57f2feb8642d315e5181dec23d4c3275... ok\r\n",
]


def watched(tmp_path: Path) -> tuple[Path, ConsoleWatch, list[str]]:
    log, told = tmp_path / "console.log", list[str]()
    return log, ConsoleWatch(log, told.append), told


def say(log: Path, text: bytes) -> None:
    with log.open("ab") as file:
        file.write(text)


def test_a_boot_is_told_mark_by_mark_in_its_order_and_each_once(tmp_path: Path) -> None:
    log, watch, told = watched(tmp_path)
    watch.look()
    for line in BIOS + BIOS:
        say(log, line)
        watch.look()
    assert told == ["firmware", "first stage", "address", "script", "kernel"]


def test_a_mark_that_comes_in_pieces_is_seen(tmp_path: Path) -> None:
    log, watch, told = watched(tmp_path)
    for piece in (b"SeaBIOS (ver", b"sion 1.16)"):
        say(log, piece)
        watch.look()
    assert told == ["firmware"]


def test_every_start_is_told_anew_and_what_was_said_before_does_not_count(tmp_path: Path) -> None:
    log, watch, told = watched(tmp_path)
    say(log, BIOS[0])
    watch.look()
    say(log, BIOS[1])
    watch.anew()
    watch.look()
    say(log, BIOS[0])
    watch.look()
    assert told == ["firmware", "firmware"]
