"""A machine that is reached by SSH: who it is, and whether it is still the one that was installed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import asyncssh
import msgspec

from rackwright.core.errors import Permanent, Retryable
from rackwright.core.jig import Work

CONNECT = 20.0
"""Seconds to reach a machine."""
ALIAS = "host_keys"
"""The input that holds the machine's host keys, where the parameters do not."""


class Remote(msgspec.Struct, frozen=True, kw_only=True):
    """How to sign in on a machine."""

    address: str
    host_keys: tuple[str, ...]
    """Public keys as in /etc/ssh/ssh_host_*_key.pub, pinned when it was installed."""
    user: str = "root"
    port: int = 22

    def known_hosts(self) -> str:
        """The machine's line or lines of a known_hosts file."""
        place = self.address if self.port == 22 else f"[{self.address}]:{self.port}"
        return "".join(f"{place} {' '.join(key.split()[:2])}\n" for key in self.host_keys)


def remote_of(work: Work, *, address: str, host_keys: Any, user: str, port: int) -> Remote:
    """The machine of a task. Raises ``Permanent`` where its address or its host keys are not known: nobody signs in on
    a machine that may be another one."""
    claim = work.claim
    where = address or claim.address or ""
    if not where:
        raise Permanent(f"{claim.scope} has no address", mend=f"`rackwright node set {claim.scope} --address ..`")
    keys = host_keys or claim.inputs.get(ALIAS) or ()
    keys = (keys,) if isinstance(keys, str) else tuple(str(key) for key in keys)
    if not keys:
        raise Permanent(
            f"the host keys of {claim.scope} are not known",
            mend=f"let the task read them: `{ALIAS}: observed.os.ssh_host_keys`, or give the parameter `{ALIAS}`",
        )
    return Remote(address=where, host_keys=keys, user=user, port=port)


@asynccontextmanager
async def connected(remote: Remote, key: str) -> AsyncIterator[asyncssh.SSHClientConnection]:
    """A connection to the machine, signed in with the private key at the path ``key``.

    Raises ``Retryable`` when it cannot be reached, ``Permanent`` when it is another machine, or lets us not in.
    """
    where = f"{remote.user}@{remote.address}:{remote.port}"
    try:
        pinned = asyncssh.import_known_hosts(remote.known_hosts())
    except ValueError as error:
        raise Permanent(f"its host keys make no sense: {error}", where=where) from None
    try:
        async with asyncio.timeout(CONNECT):
            connection = await asyncssh.connect(
                remote.address, remote.port, username=remote.user, client_keys=[key], known_hosts=pinned,
                config=None, agent_path=None, gss_host=None, keepalive_interval=15,
            )  # fmt: skip
    except asyncssh.HostKeyNotVerifiable as error:
        raise Permanent(
            f"it is not the machine that was installed: {error}", where=where,
            mend="find out who answers there; install the machine anew if its keys were changed on purpose",
        ) from error  # fmt: skip
    except asyncssh.PermissionDenied as error:
        raise Permanent(f"it does not let us in: {error}", where=where, mend="put the rack's key there") from error
    except TimeoutError:
        raise Retryable(f"it did not answer within {CONNECT:g} s", where=where) from None
    except (OSError, asyncssh.Error) as error:
        raise Retryable(f"it cannot be reached: {error}", where=where) from error
    async with connection:
        yield connection
