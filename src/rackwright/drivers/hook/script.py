"""Scripts of a catalog as hooks: processes on the control host, by the rules of the script jig."""

from __future__ import annotations

import asyncio
import os
import shutil
import tempfile
from functools import partial

from rackwright.core.errors import Permanent, Retryable
from rackwright.core.hooks import Message, Subscription
from rackwright.drivers.jig import procfs, surroundings
from rackwright.drivers.jig.capture import Capture, last_lines
from rackwright.drivers.jig.process import Process, bearers, family, kill_all, start
from rackwright.drivers.jig.script import interpreter

LOG_LIMIT = 1024 * 1024
"""Bytes that a script may say."""
AT_ONCE = 4
"""Scripts that run at the same time."""


class ScriptCourier:
    """Runs scripts, each in a folder of its own below ``folder``, which is removed afterwards. Several processes may
    share ``folder``: each has a part of it, named by its process id."""

    limit = 60.0

    def __init__(self, folder: str) -> None:
        self._all = folder
        self._folder = os.path.join(folder, str(os.getpid()))
        self._places = asyncio.Semaphore(AT_ONCE)

    async def open(self) -> None:
        """End what processes that are no more have left running."""
        os.makedirs(self._all, mode=0o700, exist_ok=True)
        for name in os.listdir(self._all):
            if not name.isdigit() or procfs.read_stat(int(name)) is None or int(name) == os.getpid():
                folder = os.path.join(self._all, name)
                await kill_all(partial(bearers, f"RACKWRIGHT_MARK={folder}/"))
                shutil.rmtree(folder, ignore_errors=True)

    def close(self) -> None:
        """Remove this process's part of the folder."""
        shutil.rmtree(self._folder, ignore_errors=True)

    async def carry(self, subscription: Subscription, message: Message, catalog: dict[str, str]) -> None:
        """Run the script once. The exit code 0 takes the message; raises Permanent when the catalog has no such script,
        Retryable for any other end."""
        text = catalog.get(subscription.target)
        if text is None:
            raise Permanent(f"the catalog has no script {subscription.target}", mend="add it, and plan the deployment")
        async with self._places:
            os.makedirs(self._folder, mode=0o700, exist_ok=True)
            folder = tempfile.mkdtemp(dir=self._folder)
            try:
                await _run(folder, text, message, catalog)
            finally:
                shutil.rmtree(folder, ignore_errors=True)


async def _run(folder: str, text: str, message: Message, catalog: dict[str, str]) -> None:
    for name in ("files", "tmp"):
        os.makedirs(os.path.join(folder, name), mode=0o700)
    surroundings.write_files(catalog, os.path.join(folder, "files"))
    surroundings.write_private(os.path.join(folder, "message.json"), message.body().decode())
    script = os.path.join(folder, "script")
    surroundings.write_private(script, text, 0o700)
    mark = f"RACKWRIGHT_MARK={folder}"
    log = os.path.join(folder, "log")
    with Capture(log, LOG_LIMIT) as capture:
        words = [*interpreter(text), script]
        process = start(words, _environment(folder, message), folder, capture.write_end, mark)
        capture.close_write_end()
        code = await _ended(process)
        capture.drain()
    if code != 0:
        said = last_lines(log)
        raise Retryable(f"it ended with exit code {code}" + (f"; it last said: {said}" if said else ""))


async def _ended(process: Process) -> int | None:
    """The exit code. Nothing of the script is left, also when it is cancelled."""
    try:
        return await process.wait()
    finally:
        await kill_all(partial(family, process.identity))
        process.reap()


def _environment(folder: str, message: Message) -> dict[str, str]:
    told = {f"RACKWRIGHT_{name.upper()}": str(message.data.get(name, "")) for name in ("deployment", "task", "rack")}
    return {
        **surroundings.clean_environment(home=folder, temporary=os.path.join(folder, "tmp")),
        **told,
        "RACKWRIGHT_NODE": str(message.data.get("scope", "")),
        "RACKWRIGHT_EVENT": message.event,
        "RACKWRIGHT_MESSAGE": os.path.join(folder, "message.json"),
        "RACKWRIGHT_MESSAGE_ID": f"msg_{message.key}",
        "RACKWRIGHT_FILES": os.path.join(folder, "files"),
        "RACKWRIGHT_MARK": folder,
    }
