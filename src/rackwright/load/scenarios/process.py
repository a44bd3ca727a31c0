"""Processes on the generator's own host."""

from __future__ import annotations

import asyncio
from asyncio.subprocess import DEVNULL, PIPE

from rackwright.load.scenario import Scenario


class ProcessRun(Scenario):
    """Process.run: starts a program and waits for it."""

    async def run(self, command: list[str], exit_code: int = 0, within: float = 60.0) -> None:
        """Run a program, without a shell; it must end with this exit code ``within`` so many seconds."""
        with self.atomic("process.run"):
            process = await asyncio.create_subprocess_exec(*command, stdin=DEVNULL, stdout=DEVNULL, stderr=PIPE)
            try:
                async with asyncio.timeout(within):
                    _, said = await process.communicate()
            finally:
                if process.returncode is None:
                    process.kill()
                    await process.wait()
            self.check(
                process.returncode == exit_code,
                f"{command[0]} ended with {process.returncode}: {said[-200:].decode(errors='replace').strip()}",
            )
