"""Targets that misbehave, all loaded at the same time: every kind of trouble is told by name, and the run ends."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import struct
import sys
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from rackwright.core.load.result import WHOLE, WorkloadResult
from rackwright.load.run_folder import RunFolder

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]

FLOOD = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
CHUNK = b"10000\r\n" + b"x" * 0x10000 + b"\r\n"
MEMORY = 400 << 20
"""Bytes that a load process may take, whatever comes."""


async def well(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while await reader.readuntil(b"\r\n\r\n"):
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")


async def slow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readuntil(b"\r\n\r\n")
    await asyncio.sleep(3600)


async def resets(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readuntil(b"\r\n\r\n")
    # To close with a linger of nothing sends RST instead of FIN: socket(7).
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


async def rubbish(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readuntil(b"\r\n\r\n")
    writer.write(b"\x00\x01 this is something else\r\n\r\n")


async def floods(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readuntil(b"\r\n\r\n")
    writer.write(FLOOD)
    while True:
        writer.write(CHUNK)
        await writer.drain()


async def half(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readuntil(b"\r\n\r\n")
    writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nonly this")


def quietly(serve: Serve) -> Serve:
    async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await serve(reader, writer)
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            writer.close()

    return take


def port_of(server: asyncio.Server) -> int:
    return int(server.sockets[0].getsockname()[1])


def workload(name: str, port: int) -> dict[str, object]:
    return {
        "description": name,
        "scenario": {"HttpRequests.check_request": {"url": f"http://127.0.0.1:{port}/", "method": "GET",
                                                    "status_code": 200}},
        "runner": {"arrival": {"rate": 2 if name == "floods" else 10, "duration": 2, "timeout": 1.5,
                               "max_cpu_count": 1}},
    }  # fmt: skip


async def load(folder: Path, ports: dict[str, int]) -> tuple[int, dict[str, WorkloadResult]]:
    """Load all of them side by side; gives the exit code, and the results by name."""
    subtask = {
        "title": "trouble",
        "run_in_parallel": True,
        "workloads": [workload(name, port) for name, port in ports.items()],
    }
    (folder / "task.json").write_text(json.dumps({"version": 2, "title": "T", "subtasks": [subtask]}))
    words = ["load", "run", str(folder / "task.json"), "--to", str(folder / "run"), "-o", "jsonl"]
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "rackwright", *words,
        env={**os.environ, "RACKWRIGHT_DATA": str(folder / "data")}, stdout=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    async with asyncio.timeout(120):
        code = await process.wait()
    return code, {each.description: each for each in RunFolder(folder / "run").read().workloads}


async def test_each_trouble_is_told_by_name_and_troubles_no_other_workload(tmp_path: Path) -> None:
    serves = {"well": well, "slow": slow, "resets": resets, "rubbish": rubbish, "floods": floods, "half": half}
    async with AsyncExitStack() as stack:
        ports = {}
        for name, serve in serves.items():
            server = await asyncio.start_server(quietly(serve), "127.0.0.1", 0)
            stack.callback(server.close)
            ports[name] = port_of(server)
        with socket.socket() as nobody:
            nobody.bind(("127.0.0.1", 0))
            code, found = await load(tmp_path, {**ports, "down": nobody.getsockname()[1]})
    assert code == 7
    assert {name: result.success for name, result in found.items()} == {
        name: name == "well" for name in [*serves, "down"]
    }
    kinds = {name: {sample.kind for sample in result.samples} for name, result in found.items()}
    assert kinds["well"] == set()
    assert kinds["down"] == {"ConnectionRefusedError"}
    assert kinds["slow"] == {"TimeoutError"}
    assert kinds["rubbish"] == {"HttpFailed"}
    assert kinds["half"] == {"HttpFailed"}
    assert kinds["resets"] <= {"ConnectionResetError", "HttpFailed", "Closed"}
    assert kinds["floods"] <= {"HttpFailed", "TimeoutError"}
    for name, result in found.items():
        assert result.whole[WHOLE].total == (4 if name == "floods" else 20), name
        assert all(health.peak_rss < MEMORY for health in result.health), name


@pytest.mark.parametrize("parallel", [True, False])
async def test_workloads_run_side_by_side_only_where_their_subtask_says_so(tmp_path: Path, parallel: bool) -> None:
    each = {"scenario": {"Dummy.dummy": {"sleep": 3}}, "runner": {"serial": {"times": 1}}}
    subtask = {"title": "two", "run_in_parallel": parallel, "workloads": [each, each]}
    (tmp_path / "task.json").write_text(json.dumps({"version": 2, "title": "T", "subtasks": [subtask]}))
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "rackwright", "load", "run", str(tmp_path / "task.json"), "--to", str(tmp_path / "run"),
        stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    assert await process.wait() == 0
    first, second = RunFolder(tmp_path / "run").read(seconds=False).workloads
    assert (second.started_at < first.started_at + first.full_duration) is parallel
