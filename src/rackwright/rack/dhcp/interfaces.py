"""Which interface of this machine has which address."""

from __future__ import annotations

import asyncio
import json

from rackwright.core.errors import Retryable


async def addresses() -> dict[str, str]:
    """Interface by address, as ``ip`` tells (package iproute2). Raises ``Retryable`` when it cannot be asked."""
    try:
        asking = await asyncio.create_subprocess_exec(
            "ip", "-json", "address", "show", stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL
        )
        said, _ = await asking.communicate()
        links = json.loads(said)
    except (OSError, ValueError) as error:
        raise Retryable(f"the addresses of this machine cannot be listed: {error}", mend="install iproute2") from error
    return {info["local"]: link["ifname"] for link in links for info in link.get("addr_info", ()) if "local" in info}
