"""The rows that PowerDNS reads: SQLite tables with the columns that its queries name
(https://doc.powerdns.com/authoritative/backends/generic-sql.html). A column is ours: the node of a record, 0 for the
zone's own.

A change writes what has changed, in one transaction. PowerDNS keeps no answers, so it is answered from then on.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Iterable, Iterator, Mapping

from rackwright.core.dhcp import Host
from rackwright.core.names import TTL, Naming, Record

_LAYOUT = 1
_TABLES = """
CREATE TABLE IF NOT EXISTS domains (
    id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE COLLATE NOCASE, master TEXT, last_check INTEGER,
    type TEXT NOT NULL DEFAULT 'NATIVE', notified_serial INTEGER, account TEXT, options TEXT, catalog TEXT
);
CREATE TABLE IF NOT EXISTS records (
    id INTEGER PRIMARY KEY, domain_id INTEGER NOT NULL, name TEXT NOT NULL, type TEXT NOT NULL, content TEXT NOT NULL,
    ttl INTEGER NOT NULL, prio INTEGER DEFAULT 0, disabled BOOLEAN DEFAULT 0, ordername TEXT, auth BOOL DEFAULT 1,
    node INTEGER NOT NULL
);
CREATE INDEX IF NOT EXISTS records_name ON records (name, type);
CREATE INDEX IF NOT EXISTS records_domain ON records (domain_id);
CREATE INDEX IF NOT EXISTS records_node ON records (node);
CREATE TABLE IF NOT EXISTS domainmetadata (
    id INTEGER PRIMARY KEY, domain_id INTEGER NOT NULL, kind TEXT COLLATE NOCASE, content TEXT
);
CREATE TABLE IF NOT EXISTS cryptokeys (
    id INTEGER PRIMARY KEY, domain_id INTEGER NOT NULL, flags INTEGER, active BOOL, published BOOL, content TEXT
);
CREATE TABLE IF NOT EXISTS tsigkeys (id INTEGER PRIMARY KEY, name TEXT, algorithm TEXT, secret TEXT);
CREATE TABLE IF NOT EXISTS comments (
    id INTEGER PRIMARY KEY, domain_id INTEGER NOT NULL, name TEXT, type TEXT, modified_at INT, account TEXT,
    comment TEXT
);
CREATE TABLE IF NOT EXISTS supermasters (ip TEXT, nameserver TEXT, account TEXT);
"""
_INSERT = "INSERT INTO records (domain_id, name, type, content, ttl, node) VALUES (?, ?, ?, ?, ?, ?)"
_KNOWN = (
    "SELECT node, domains.name, records.name, records.type, content FROM records JOIN domains ON domain_id = domains.id"
)


class Records:
    """The tables in the file ``path``. Every method is one transaction and blocks: call it in a thread. They raise
    sqlite3.Error when the disk does not take it; then nothing has changed."""

    def __init__(self, path: str) -> None:
        self._db = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=10.0)
        self._db.execute("PRAGMA journal_mode = WAL")
        # All of it can be made anew from the replica.
        self._db.execute("PRAGMA synchronous = OFF")
        self._db.executescript(f"{_TABLES} PRAGMA user_version = {_LAYOUT};")

    def close(self) -> None:
        """Let go of the file."""
        self._db.close()

    def replace(self, naming: Naming, hosts: Mapping[int, Host], serial: int) -> None:
        """Have the records of these networks and hosts and no others; those that are right stay as they are."""
        own = {(0, *_row(record)) for record in naming.own(serial)}
        wanted = own | set(_rows(naming, hosts, hosts))
        zones = naming.zones()
        with self._transaction():
            known = set(self._db.execute(_KNOWN))
            stale = {row[0] for row in known ^ wanted}
            self._db.executemany("INSERT OR IGNORE INTO domains (name) VALUES (?)", ((zone,) for zone in zones))
            self._forget(stale)
            self._insert(row for row in wanted if row[0] in stale)
            gone = [(name,) for (name,) in self._db.execute("SELECT name FROM domains") if name not in set(zones)]
            self._db.executemany("DELETE FROM domains WHERE name = ?", gone)

    def change(self, naming: Naming, hosts: Mapping[int, Host], ids: Collection[int]) -> None:
        """Have the records of these nodes as they are now; those that are gone have none. Serials of zones stay: nobody
        transfers them."""
        with self._transaction():
            self._forget(ids)
            self._insert(_rows(naming, hosts, ids))

    def _forget(self, nodes: Iterable[int]) -> None:
        self._db.executemany("DELETE FROM records WHERE node = ?", ((node,) for node in nodes))

    def _insert(self, rows: Iterable[tuple[int, str, str, str, str]]) -> None:
        zones = dict(self._db.execute("SELECT name, id FROM domains"))
        self._db.executemany(
            _INSERT, ((zones[zone], name, kind, content, TTL, node) for node, zone, name, kind, content in rows)
        )

    def _transaction(self) -> sqlite3.Connection:
        self._db.execute("BEGIN IMMEDIATE")
        return self._db


def _rows(naming: Naming, hosts: Mapping[int, Host], ids: Iterable[int]) -> Iterator[tuple[int, str, str, str, str]]:
    for id in ids:
        host = hosts.get(id)
        if host is not None:
            yield from dict.fromkeys((id, *_row(record)) for record in naming.of(host))


def _row(record: Record) -> tuple[str, str, str, str]:
    return record.zone, record.name, record.type, record.content
