"""The rack's own copy of what it serves: kept on its disk, so that it answers with the region away and after a restart.

It is a SQLite database (https://sqlite.org/wal.html) beside the key from which the tokens of the machines follow.
Reading is quick (one indexed row) and done at once; writing is done in a thread, one delta in one transaction.
"""

from __future__ import annotations

import asyncio
import hmac
import os
import secrets
import sqlite3
from collections.abc import Callable, Iterator

import msgspec
import structlog

from rackwright.core.bootenv import Bootenv
from rackwright.core.errors import RackwrightError, Retryable
from rackwright.core.node_token import KEY_LENGTH, is_token, node_token
from rackwright.core.served import Delta, ServedNode, ServedRack

NEVER = -1
"""The generation of a replica that holds nothing yet."""

_LAYOUT = 1
_TABLES = """
CREATE TABLE IF NOT EXISTS state (
    only INTEGER PRIMARY KEY CHECK (only = 1), generation INTEGER NOT NULL, applied INTEGER NOT NULL, rack BLOB
);
INSERT OR IGNORE INTO state VALUES (1, -1, -1, NULL);
CREATE TABLE IF NOT EXISTS node (id INTEGER PRIMARY KEY, name TEXT NOT NULL, token TEXT NOT NULL, document BLOB);
CREATE INDEX IF NOT EXISTS node_name ON node (name);
CREATE INDEX IF NOT EXISTS node_token ON node (token);
CREATE INDEX IF NOT EXISTS node_address ON node (json_extract(CAST(document AS TEXT), '$.address'));
CREATE INDEX IF NOT EXISTS node_image ON node (
    json_extract(CAST(document AS TEXT), '$.bootenv.image'), json_extract(CAST(document AS TEXT), '$.bootenv.installs')
) WHERE json_extract(CAST(document AS TEXT), '$.bootenv.kind') IN ('install', 'memory');
CREATE TABLE IF NOT EXISTS mac (mac TEXT NOT NULL, node INTEGER NOT NULL, PRIMARY KEY (mac, node)) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS mac_of ON mac (node);
CREATE TABLE IF NOT EXISTS installed (node INTEGER PRIMARY KEY, request TEXT NOT NULL);
"""

_IMAGES = """
SELECT DISTINCT json_extract(CAST(document AS TEXT), '$.bootenv.image'),
    coalesce(json_extract(CAST(document AS TEXT), '$.bootenv.installs'), '')
FROM node
WHERE json_extract(CAST(document AS TEXT), '$.bootenv.kind') IN ('install', 'memory')
ORDER BY 1, 2
"""

_Work = Callable[[], None]

log = structlog.get_logger()


class Replica:
    """What the rack serves, in a folder of its own. Use it from one event loop; ``close`` it at the end.

    ``secret``: the same for all processes of the rack, its token. A database that cannot be read is put aside: the
    region gives everything again. Writing raises ``Retryable`` when the disk does not take it.
    """

    def __init__(self, folder: str, secret: str = "") -> None:
        os.makedirs(folder, mode=0o700, exist_ok=True)
        self.key = _key(os.path.join(folder, "node.key"), secret)
        """From which the machines' tokens follow."""
        path = os.path.join(folder, "replica.sqlite")
        self._write, self._read = _opened(path)
        self._writing = asyncio.Lock()
        self._news: set[asyncio.Future[None]] = set()
        self._generation, self._applied, self._rack = self._state()

    def close(self) -> None:
        """Let go of the files."""
        self._read.close()
        self._write.close()

    @property
    def generation(self) -> int:
        """Up to which generation it has everything; NEVER: it has nothing."""
        return self._generation

    @property
    def applied(self) -> int:
        """Up to which generation DHCP, DNS and boot answer from it."""
        return self._applied

    def rack(self) -> ServedRack | None:
        """The rack's own part; None: the region has not told it yet."""
        return self._rack

    def node(self, id: int) -> ServedNode | None:
        """The node with this id, None when it is not (or no longer) this rack's."""
        return self._one("SELECT document FROM node WHERE id = ?", id)

    def named(self, name: str) -> ServedNode | None:
        """The node of this name."""
        return self._one("SELECT document FROM node WHERE name = ?", name)

    def node_by_mac(self, mac: str) -> ServedNode | None:
        """The node that owns an Ethernet address (any spelling with colons or dashes). Where two claim one, it is that
        which was known first."""
        spelled = mac.lower().replace("-", ":")
        return self._one(
            "SELECT document FROM node JOIN mac ON mac.node = node.id WHERE mac.mac = ? ORDER BY node.id LIMIT 1",
            spelled,
        )

    def node_by_address(self, address: str) -> ServedNode | None:
        """The node whose static address this is."""
        return self._one(
            "SELECT document FROM node WHERE json_extract(CAST(document AS TEXT), '$.address') = ? LIMIT 1", address
        )

    def node_by_token(self, token: str) -> ServedNode | None:
        """The node that this token belongs to now; None for one that is void or was never given."""
        found = self._one("SELECT document FROM node WHERE token = ?", token)
        if found is None or not is_token(self.key, found.id, found.epoch, token):
            return None
        return found

    def token(self, node: ServedNode) -> str:
        """The token of a node."""
        return node_token(self.key, node.id, node.epoch)

    def images(self) -> list[tuple[str, str]]:
        """Images that are installed, or run from memory, as boot environments name them: the one that is booted, and
        the one that is written to the disk; either may be empty."""
        return self._read.execute(_IMAGES).fetchall()

    def nodes(self) -> Iterator[ServedNode]:
        """All nodes by id. Take them all before anything else is awaited."""
        for (document,) in self._read.execute("SELECT document FROM node ORDER BY id"):
            yield msgspec.json.decode(document, type=ServedNode)

    def effective_bootenv(self, node: ServedNode) -> Bootenv:
        """What a node boots now: its boot environment, but its own disk once its installer was marked as done."""
        wanted = node.bootenv
        if wanted.kind != "install":
            return wanted
        row = self._read.execute("SELECT request FROM installed WHERE node = ?", (node.id,)).fetchone()
        if row is None or row[0] != wanted.request:
            return wanted
        return msgspec.structs.replace(wanted, kind="local")

    async def apply(self, delta: Delta) -> None:
        """Take a delta over, all of it or nothing. One that does not begin where the replica is changes nothing, unless
        it is full."""
        async with self._writing:
            if not delta.full and delta.after != self._generation:
                return
            await self._written(lambda: self._take(delta))
            self._generation = delta.generation
            self._rack = delta.rack or self._rack
            if delta.full:
                self._applied = min(self._applied, delta.generation)
        self._tell()

    async def set_applied(self, generation: int) -> None:
        """Note that everything up to this generation is answered; wakes who waits."""
        async with self._writing:
            await self._written(lambda: self._note_applied(generation))
            self._applied = generation
        self._tell()

    async def mark_installed(self, node: int, request: str) -> None:
        """Note that the installer of this request is done on a node: it boots its disk from now on, whether the region
        has heard of it or not."""
        async with self._writing:
            await self._written(lambda: self._mark(node, request))
        self._tell()

    async def changed(self) -> None:
        """Wait until something of it has changed after this call: a delta, a mark, or what is applied. Look, then wait,
        without awaiting anything between, and no change is missed."""
        waiting = asyncio.get_running_loop().create_future()
        self._news.add(waiting)
        try:
            await waiting
        finally:
            self._news.discard(waiting)

    def _tell(self) -> None:
        for waiting in self._news:
            if not waiting.done():
                waiting.set_result(None)

    def _one(self, query: str, value: object) -> ServedNode | None:
        row = self._read.execute(query, (value,)).fetchone()
        return None if row is None else msgspec.json.decode(row[0], type=ServedNode)

    def _state(self) -> tuple[int, int, ServedRack | None]:
        generation, applied, rack = self._read.execute("SELECT generation, applied, rack FROM state").fetchone()
        return generation, applied, None if rack is None else msgspec.json.decode(rack, type=ServedRack)

    async def _written(self, work: _Work) -> None:
        # A write that has begun goes on in its thread; the lock is kept until it has ended, whoever is cancelled.
        writing = asyncio.create_task(asyncio.to_thread(self._commit, work))
        try:
            await asyncio.shield(writing)
        except asyncio.CancelledError:
            await asyncio.wait({writing})
            raise

    def _commit(self, work: _Work) -> None:
        try:
            with self._write:
                self._write.execute("BEGIN IMMEDIATE")
                work()
        except sqlite3.Error as error:
            what = f"the rack's replica cannot be written: {error}"
            raise Retryable(what, mend="make room on the rack's disk") from error

    def _take(self, delta: Delta) -> None:
        write = self._write
        if delta.full:
            write.execute("DELETE FROM mac")
            write.execute("DELETE FROM node")
        changed = [(id,) for id in (*delta.gone, *(node.id for node in delta.nodes))]
        if not delta.full:
            write.executemany("DELETE FROM mac WHERE node = ?", changed)
            write.executemany("DELETE FROM node WHERE id = ?", changed)
        encode = msgspec.json.encode
        rows = ((node.id, node.name, self.token(node), encode(node)) for node in delta.nodes)
        write.executemany("INSERT INTO node VALUES (?, ?, ?, ?)", rows)
        macs = ((mac.lower(), node.id) for node in delta.nodes for mac in node.macs)
        write.executemany("INSERT OR IGNORE INTO mac VALUES (?, ?)", macs)
        waiting = {node.id: node.bootenv.request for node in delta.nodes if node.bootenv.kind == "install"}
        marks = write.execute("SELECT node, request FROM installed").fetchall()
        touched = {id for (id,) in changed}
        over = [(id,) for id, request in marks if (delta.full or id in touched) and waiting.get(id) != request]
        write.executemany("DELETE FROM installed WHERE node = ?", over)
        if delta.rack is not None:
            write.execute("UPDATE state SET rack = ?", (encode(delta.rack),))
        write.execute("UPDATE state SET generation = ?", (delta.generation,))

    def _note_applied(self, generation: int) -> None:
        self._write.execute("UPDATE state SET applied = ?", (generation,))

    def _mark(self, node: int, request: str) -> None:
        self._write.execute("INSERT OR REPLACE INTO installed VALUES (?, ?)", (node, request))


def _key(path: str, secret: str) -> bytes:
    """The rack's key, made at the first start; raises ``RackwrightError`` when the file is damaged. From the same
    ``secret`` the same key is made, so that machines can go from one of the rack's processes to the other; without one
    it is made by chance."""
    if not os.path.exists(path):
        fresh = f"{path}.new"
        with open(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            file.write(hmac.digest(secret.encode(), b"rackwright node key", "sha256") if secret else _by_chance())
            file.flush()
            os.fsync(file.fileno())
        os.replace(fresh, path)
    with open(path, "rb") as file:
        key = file.read()
    if len(key) != KEY_LENGTH:
        mend = "put the file back from a backup, or delete it: all machines then need to boot the network once more"
        raise RackwrightError(f"the rack's key has {len(key)} bytes instead of {KEY_LENGTH}", where=path, mend=mend)
    return key


def _by_chance() -> bytes:
    return secrets.token_bytes(KEY_LENGTH)


def _opened(path: str) -> tuple[sqlite3.Connection, sqlite3.Connection]:
    """A connection to write and one to read."""
    try:
        write = _connected(path)
        if write.execute("PRAGMA user_version").fetchone()[0] not in (0, _LAYOUT):
            raise sqlite3.DatabaseError("it was written by another version")
        write.executescript(f"{_TABLES} PRAGMA user_version = {_LAYOUT};")
    except sqlite3.DatabaseError as error:
        if isinstance(error, sqlite3.OperationalError):
            raise Retryable(f"the rack's replica cannot be opened: {error}", where=path) from error
        log.warning("the replica cannot be read and is put aside", file=path, reason=str(error))
        _put_aside(path)
        write = _connected(path)
        write.executescript(f"{_TABLES} PRAGMA user_version = {_LAYOUT};")
    return write, _connected(path)


def _connected(path: str) -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=10.0)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    return connection


def _put_aside(path: str) -> None:
    for suffix in ("", "-wal", "-shm"):
        if os.path.exists(path + suffix):
            os.replace(path + suffix, f"{path}.unreadable{suffix}")
