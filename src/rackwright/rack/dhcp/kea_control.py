"""Kea's control socket: one command for each connection (https://kea.readthedocs.io/en/kea-2.2.0/arm/ctrl-channel.html)."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from rackwright.core.errors import Retryable

ANSWER = 60.0
"""Seconds for one command."""

_DONE, _NOTHING_FOUND = 0, 3
"""Results."""


class KeaControl:
    """Gives commands to the Kea whose socket this is."""

    def __init__(self, socket: str) -> None:
        self.socket = socket

    async def lives(self) -> bool:
        """Whether anybody answers."""
        try:
            await self.command("version-get")
        except Retryable:
            return False
        return True

    async def command(self, command: str, arguments: str = "") -> dict[str, Any] | None:
        """Give a command, its arguments as JSON, and wait for its end. Gives what came back, None when there is nothing
        of what was asked for. Raises ``Retryable`` when Kea is away or refuses."""
        given = f', "arguments": {arguments}' if arguments else ""
        try:
            async with asyncio.timeout(ANSWER):
                answer = await self._said(f'{{"command": "{command}"{given}}}')
        except (OSError, ValueError, TimeoutError) as error:
            raise Retryable(f"Kea does not take {command}: {str(error) or type(error).__name__}") from error
        if answer["result"] == _NOTHING_FOUND:
            return None
        if answer["result"] != _DONE:
            raise Retryable(f"Kea refuses {command}: {answer.get('text', '')}", where=self.socket)
        found: dict[str, Any] = answer.get("arguments", {})
        return found

    async def _said(self, command: str) -> dict[str, Any]:
        reader, writer = await asyncio.open_unix_connection(self.socket)
        try:
            writer.write(command.encode())
            await writer.drain()
            answer: dict[str, Any] = json.loads(await reader.read())
            return answer
        finally:
            writer.close()
