"""Hosts as rows that Kea reads: a change costs as much as what has changed, however many hosts there are.

The tables are Kea's own, of a PostgreSQL that the rack has for nothing else (Kea's script ``dhcpdb_create.pgsql``). Two
columns are ours: the node of a row, and its boot URL, which a row of the options repeats. All of it can be made anew
from the replica, so a commit does not wait for the disk.

An Ethernet address has a row for each network on which it is known, so IPv4 and IPv6 never share one: what changes of
one leaves the other alone.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Iterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import asyncpg

from rackwright.core.dhcp import Answers, Within, host_url
from rackwright.core.errors import RackwrightError, Retryable
from rackwright.rack.dhcp.kea_configuration import Database, row_ids

SCRIPT = Path("/usr/share/kea/scripts/pgsql/dhcpdb_create.pgsql")
"""From Debian's package kea-admin."""

PATIENCE = 60.0
"""Seconds for one statement."""

MANY = 1000
"""After so many new rows the database looks at how many there are."""

Row = tuple[int, bytes, int, int | str, str, str]
"""Node, Ethernet address, number of its network (``row_ids``), address (IPv4: as a number, 0: a dynamic one; IPv6: as
text), host name, boot URL (IPv6: none)."""

_OURS = """
ALTER TABLE dhcp4_options DISABLE TRIGGER USER;
ALTER TABLE hosts ADD COLUMN node bigint, ADD COLUMN url text;
CREATE INDEX hosts_of_node ON hosts (node);
"""
_MADE = "SELECT EXISTS (SELECT FROM information_schema.columns WHERE table_name = 'hosts' AND column_name = 'url')"


@dataclass(frozen=True)
class _Statements:
    """What is said to the database about the hosts of one version of IP."""

    known: str
    forget: str
    know: str
    look: str


# Identifier type 0: the hardware address. Option scope 3: of a host.
_FOUR = _Statements(
    known="""
        SELECT node, dhcp_identifier, dhcp4_subnet_id, coalesce(ipv4_address, 0), coalesce(hostname, ''), url
        FROM hosts WHERE dhcp4_subnet_id IS NOT NULL
    """,
    forget="DELETE FROM hosts WHERE node = ANY ($1::bigint[]) AND dhcp4_subnet_id IS NOT NULL",
    know="""
        WITH fresh AS (
            INSERT INTO hosts
                (node, dhcp_identifier, dhcp_identifier_type, dhcp4_subnet_id, ipv4_address, hostname, url)
            SELECT node, mac, 0, subnet, nullif(address, 0), nullif(hostname, ''), url
            FROM unnest($1::bigint[], $2::bytea[], $3::bigint[], $4::bigint[], $5::text[], $6::text[])
                AS given (node, mac, subnet, address, hostname, url)
            RETURNING host_id, url
        )
        INSERT INTO dhcp4_options (code, value, space, persistent, host_id, scope_id)
        SELECT 67, convert_to(url, 'UTF8'), 'dhcp4', false, host_id, 3 FROM fresh
    """,
    look="ANALYZE hosts, dhcp4_options",
)
# The keys are taken first: to look for each row's again would cost more, the more there are.
_SIX = _Statements(
    known="""
        SELECT node, dhcp_identifier, dhcp6_subnet_id, address, coalesce(hostname, ''), url
        FROM hosts JOIN ipv6_reservations USING (host_id) WHERE dhcp6_subnet_id IS NOT NULL
    """,
    forget="DELETE FROM hosts WHERE node = ANY ($1::bigint[]) AND dhcp6_subnet_id IS NOT NULL",
    know="""
        WITH fresh AS (
            SELECT nextval('hosts_host_id_seq') AS host_id, *
            FROM unnest($1::bigint[], $2::bytea[], $3::bigint[], $4::text[], $5::text[], $6::text[])
                AS given (node, mac, subnet, address, hostname, url)
        ), hosts_of_them AS (
            INSERT INTO hosts (host_id, node, dhcp_identifier, dhcp_identifier_type, dhcp6_subnet_id, hostname, url)
            SELECT host_id, node, mac, 0, subnet, nullif(hostname, ''), url FROM fresh
        )
        INSERT INTO ipv6_reservations (address, host_id) SELECT address, host_id FROM fresh
    """,
    look="ANALYZE hosts, ipv6_reservations",
)
_STATEMENTS = {4: _FOUR, 6: _SIX}


class HostRows:
    """The rows. ``database`` has the PostgreSQL run while it is entered, and gives its DSN: without a password, which
    is in the file that the DSN names. It is entered when rows are first wanted."""

    def __init__(self, database: Callable[[], AbstractAsyncContextManager[str]]) -> None:
        self._database = database
        self._stack = AsyncExitStack()
        self._pool: asyncpg.Pool | None = None
        self._place: Database = {}

    async def place(self) -> Database:
        """Where Kea finds them; has the database run. Raises ``Retryable`` when it does not."""
        if self._pool is None:
            try:
                dsn = await self._stack.enter_async_context(self._database())
                self._pool = await self._stack.enter_async_context(
                    asyncpg.create_pool(
                        dsn, min_size=1, max_size=1, command_timeout=PATIENCE,
                        server_settings={"synchronous_commit": "off"},
                    )
                )  # fmt: skip
                await _prepared(self._pool)
            except (RackwrightError, asyncpg.PostgresError, asyncpg.InterfaceError, OSError) as error:
                await self.close()
                raise Retryable(f"the database for DHCP's hosts cannot be had: {error}") from error
            self._place = _told(dsn)
        return self._place

    async def check(self) -> None:
        """See whether the database answers. Raises ``Retryable`` when it does not."""
        async with self._transaction() as connection:
            await connection.execute("SELECT 1")

    async def keep(self, answers: Answers, changed: Collection[int] | None, version: int = 4) -> None:
        """Have the rows of these answers for this version of IP, in one transaction; ``changed`` as with
        ``DhcpServer``. Raises ``Retryable`` when the database does not take it: then nothing has changed."""
        say = _STATEMENTS[version]
        await self.place()
        async with self._transaction() as connection:
            if changed is None:
                wanted = await asyncio.to_thread(lambda: set(_rows(answers, answers.hosts, version)))
                known = {tuple(row) for row in await connection.fetch(say.known)}
                stale = {row[0] for row in known ^ wanted}
                fresh = [row for row in wanted if row[0] in stale]
            else:
                stale, fresh = set(changed), list(_rows(answers, changed, version))
            if stale:
                await connection.execute(say.forget, list(stale))
            if fresh:
                await connection.execute(say.know, *map(list, zip(*fresh, strict=True)))
            if len(fresh) > MANY:
                # Plans that were made when there was little are made anew, here and in Kea.
                await connection.execute(say.look)

    async def close(self) -> None:
        """Let go of the database."""
        stack, self._stack, self._pool = self._stack, AsyncExitStack(), None
        with contextlib.suppress(RackwrightError, OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
            await stack.aclose()

    @contextlib.asynccontextmanager
    async def _transaction(self) -> AsyncIterator[Any]:
        assert self._pool is not None
        try:
            async with self._pool.acquire() as connection, connection.transaction():
                yield connection
        except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError) as error:
            raise Retryable(f"the rows of DHCP's hosts cannot be written: {error}") from error


async def _prepared(pool: asyncpg.Pool) -> None:
    """Have Kea's tables, with our columns. What was begun and not ended is begun anew."""
    if await pool.fetchval(_MADE):
        return
    try:
        script = await asyncio.to_thread(SCRIPT.read_text)
    except OSError as error:
        raise Retryable(
            "Kea's tables cannot be made", where=str(SCRIPT), mend="install the package kea-admin"
        ) from error
    await pool.execute("DROP SCHEMA public CASCADE; CREATE SCHEMA public;")
    await pool.execute(script)
    await pool.execute(_OURS)


def _rows(answers: Answers, ids: Iterable[int], version: int) -> Iterator[Row]:
    """The rows of these nodes; those that are gone have none."""
    places = [(number, Within(network.cidr), network) for number, network in row_ids(answers, version)]
    for id in ids:
        host = answers.hosts.get(id)
        if host is None:
            continue
        for subnet, within, network in places:
            for mac, address in host.within(within):
                url = host_url(network, answers.door, host) if version == 4 else ""
                yield id, bytes.fromhex(mac.replace(":", "")), subnet, _as_kept(address), host.name, url


def _as_kept(address: str | None) -> int | str:
    """An address as Kea's tables have it."""
    if address is None:
        return 0
    kept = ipaddress.ip_address(address)
    return int(kept) if kept.version == 4 else str(kept)


def _told(dsn: str) -> Database:
    """The database in Kea's words. Its password stands last in the only line of its file."""
    parts = urlsplit(dsn)
    settings = parse_qs(parts.query)
    (passfile,) = settings["passfile"]
    (host,) = settings["host"]
    return {
        "type": "postgresql",
        "name": parts.path.lstrip("/"),
        "user": parts.username or "",
        "password": Path(passfile).read_text(encoding="ascii").strip().rpartition(":")[2],
        "host": host,
        # It comes back by itself; what is asked meanwhile is not answered, and asked again.
        "max-reconnect-tries": 1_000_000,
        "reconnect-wait-time": 1000,
        "on-fail": "serve-retry-continue",
    }
