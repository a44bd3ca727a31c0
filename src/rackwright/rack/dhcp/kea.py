"""Kea answers DHCP (https://kea.readthedocs.io/en/kea-2.2.0/): for each version of IP a process of its own, fed over
its control socket.

Few hosts stand in its configuration, which is set as a whole at each change: that is quick up to a hundred, and
asking costs nothing. Many hosts are rows of a database, where a change costs what has changed. Once they are, they
stay: the rows are there before the configuration points at them, so nobody is left without an answer in between.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Collection

from rackwright.core.dhcp import Answers, Host
from rackwright.core.errors import Retryable
from rackwright.rack.dhcp import kea6_configuration, kea_configuration, leases
from rackwright.rack.dhcp.host_views import owners, seen
from rackwright.rack.dhcp.kea_configuration import Database, given
from rackwright.rack.dhcp.kea_rows import HostRows
from rackwright.rack.dhcp.kea_server import KeaServer
from rackwright.rack.dhcp.taken import Taken

BRIEF = 5.0
"""Seconds for which the database of the rows may be away: it comes back by itself after a crash."""

ROWS_FROM = 100
"""So many hosts, and more, are kept in rows, where there is a database for them."""


_CONFIGURATIONS = {4: kea_configuration.configuration, 6: kea6_configuration.configuration}


class Kea:
    """Kea's server for one ``version`` of IP; its configuration, leases and socket are in ``folder``. From
    ``rows_from`` hosts on they are ``rows``; without these they stay in the configuration.

    The one for IPv4 always runs, the one for IPv6 once there is a network to answer on. It goes on answering when the
    rack's process is killed, and the next one takes it over; unless it is ``tied`` (see ``ServerProcess``).
    """

    def __init__(
        self,
        folder: str,
        rows: HostRows | None = None,
        rows_from: int = ROWS_FROM,
        *,
        version: int = 4,
        tied: bool = False,
    ) -> None:
        self.name = "kea" if version == 4 else "kea6"
        self._version = version
        self._kea = KeaServer(folder, f"kea-dhcp{version}", f"kea-dhcp{version}-server", tied=tied)
        self._rows = rows
        self._rows_from = rows_from
        self._writing = asyncio.Lock()
        self._frame: tuple[object, ...] | None = None
        self._hosts: dict[int, Host] = {}
        self._uses_rows = False
        """Whether the hosts are rows, once they were many."""
        self._by_rows = False
        """Whether Kea finds them there now."""
        self._without_rows_since: float | None = None
        self._taken: Taken | None = None

    async def answer(self, answers: Answers, changed: Collection[int] | None = None) -> None:
        """See the protocol."""
        async with self._writing:
            if self._version == 6 and not given(answers, 6):
                if self._frame is not None or changed is None:
                    await self.close()
                return
            lives = await self._kea.control.lives()
            # What changed while it was closed it was not told.
            moved = self._moved(answers, changed if self._frame is not None else None)
            is_done = lives and not moved and self._frame == answers.frame()
            if self._rows is not None and (self._uses_rows or len(answers.hosts) >= self._rows_from):
                await self._answer_by_rows(self._rows, answers, moved, lives, is_done)
            elif not is_done:
                await self._tell(answers, lives)
            if is_done:
                return
            self._frame = answers.frame()
            now_of = owners(answers, self._hosts, moved, self._version)
            await leases.end_others(self._kea.control, now_of, self._version)
            self._note(answers, moved)

    async def close(self) -> None:
        """See the protocol."""
        await self._kea.close()
        if self._rows is not None:
            await self._rows.close()
        self._frame, self._by_rows, self._uses_rows = None, False, False

    async def _answer_by_rows(
        self, rows: HostRows, answers: Answers, moved: Collection[int], lives: bool, is_done: bool
    ) -> None:
        """Have the rows and, where it differs, the configuration that points at them; see that they are there."""
        self._uses_rows = True
        try:
            place = await rows.place()
            await rows.check()
            if not (is_done and self._by_rows):
                await self._keep(rows, place, answers, moved, lives)
            self._without_rows_since = None
        except Retryable:
            await self._answer_without_rows(answers, lives)
            raise

    async def _answer_without_rows(self, answers: Answers, lives: bool) -> None:
        """With the database away Kea finds no host in it. Where that lasts it is told all hosts, as they are now; what
        changes then waits for the database."""
        now = time.monotonic()
        self._without_rows_since = self._without_rows_since or now
        if not lives or (self._by_rows and now - self._without_rows_since > BRIEF):
            self._by_rows = False
            await self._tell(answers, lives)

    async def _keep(
        self, rows: HostRows, place: Database, answers: Answers, moved: Collection[int], lives: bool
    ) -> None:
        """Write what differs, and tell Kea where that is not enough."""
        same = self._by_rows and self._frame == answers.frame()
        await rows.keep(answers, moved if same else None, self._version)
        taken = Taken.among(answers, self._version) if self._taken is None or not same else self._taken
        again = taken.note(answers, moved) if same else True
        if not lives or again:
            # Should this fail, all is told anew.
            self._by_rows = False
            await self._tell(answers, lives, place, taken.addresses())
        self._taken, self._by_rows = taken, True

    async def _tell(
        self, answers: Answers, lives: bool, place: Database | None = None, taken: Collection[str] = ()
    ) -> None:
        """Have it work by the configuration for these answers."""
        await self._kea.tell(_CONFIGURATIONS[self._version](answers, self._kea.folder, place, taken), lives)

    def _moved(self, answers: Answers, changed: Collection[int] | None) -> list[int]:
        """Of which hosts something differs."""
        ids = answers.hosts.keys() | self._hosts.keys() if changed is None else changed
        return [id for id in ids if self._seen(answers, id) != self._hosts.get(id)]

    def _note(self, answers: Answers, moved: Collection[int]) -> None:
        for id in moved:
            host = self._seen(answers, id)
            if host is None:
                self._hosts.pop(id, None)
            else:
                self._hosts[id] = host

    def _seen(self, answers: Answers, id: int) -> Host | None:
        return seen(answers.hosts.get(id), self._version)
