"""The data folder: where everything of the embedded server is, and whose it is.

- ``DATA/postgres.log``, ``postgres.log.1``: what the server and its guard said
- ``DATA/postgres/``, 0700, with in it
- ``users.lock``: held shared by every command that uses the server
- ``guard.lock``: held by the guard
- ``passfile``, 0600: the password, in the format of a .pgpass file
- ``cluster/``: PostgreSQL's own data folder
- ``socket/``, 0700: the unix socket
- ``socket-folder``: where the socket is instead, when DATA's path is too long for it
- ``programs/``: a copy of the programs, for a server that runs as another user
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from rackwright.core.errors import InvalidInput, StoreUnavailable

ROLE = "rackwright"
DATABASE = "rackwright"

# sun_path of sockaddr_un holds 108 bytes, the last of them zero: unix(7).
LONGEST_SOCKET_PATH = 107
SOCKET_NAME = ".s.PGSQL.5432"

FULL = (errno.ENOSPC, errno.EDQUOT)
FORBIDDEN = (errno.EACCES, errno.EPERM, errno.EROFS)
NO_FOLDER = (errno.ENOTDIR, errno.EEXIST, errno.ELOOP, errno.ENAMETOOLONG)


@dataclass(frozen=True, slots=True)
class Folder:
    """The paths below one data folder; ``data`` is absolute and has no symbolic links."""

    data: Path

    @property
    def home(self) -> Path:
        """The folder of the server alone."""
        return self.data / "postgres"

    @property
    def users(self) -> Path:
        """The lock that every user shares."""
        return self.home / "users.lock"

    @property
    def guard(self) -> Path:
        """The lock that the guard holds."""
        return self.home / "guard.lock"

    @property
    def passfile(self) -> Path:
        """The password, in the format of a .pgpass file."""
        return self.home / "passfile"

    @property
    def cluster(self) -> Path:
        """PostgreSQL's own data folder."""
        return self.home / "cluster"

    @property
    def programs(self) -> Path:
        """A copy of the programs."""
        return self.home / "programs"

    @property
    def log(self) -> Path:
        """What the server and its guard said."""
        return self.data / "postgres.log"

    @property
    def socket_record(self) -> Path:
        """Holds the path of a socket folder that is elsewhere."""
        return self.home / "socket-folder"

    def socket(self) -> Path:
        """The folder of the unix socket as last chosen."""
        with contextlib.suppress(FileNotFoundError):
            return Path(self.socket_record.read_text())
        return self.home / "socket"

    def dsn(self, database: str = DATABASE) -> str:
        """A DSN for asyncpg and libpq. It names the password's file and holds no password: it may be shown."""
        place = f"host={quote(str(self.socket()), safe='')}&passfile={quote(str(self.passfile), safe='')}"
        return f"postgresql://{ROLE}@/{quote(database, safe='')}?{place}"


def located(data: Path) -> Folder:
    """The folder at ``data`` as it is, unchecked."""
    return Folder(data.resolve())


def opened(data: Path) -> Folder:
    """The folder at ``data``, made if missing, and checked to be ours.

    Raises InvalidInput for a folder that is somebody else's or holds other things, StoreUnavailable for a full disk.
    """
    with file_errors(data):
        data.mkdir(parents=True, exist_ok=True)
        folder = Folder(data.resolve())
        _require_ours(folder.data)
        if not os.access(folder.data, os.W_OK | os.X_OK):
            raise PermissionError(errno.EACCES, "not writable")
        folder.home.mkdir(mode=0o700, exist_ok=True)
        _require_ours(folder.home)
        # In this order: another command may be making the very same folder.
        if any(folder.home.iterdir()) and not folder.users.exists():
            raise InvalidInput(
                "the folder holds other things than an embedded PostgreSQL",
                where=str(folder.home),
                mend="move them away, or give another --data folder",
            )
        if folder.home.stat().st_mode & 0o066:
            folder.home.chmod(0o700)
        folder.users.touch(mode=0o600)
    return folder


def choose_socket_folder(folder: Folder) -> Path:
    """Make the folder for the unix socket, 0700 and empty, and return it.

    A path that is too long for a socket, or has a comma (which parts a list of hosts in a DSN), is replaced by a short
    one that nobody could have made before us; it is recorded, so that it stays the same while it lasts.
    """
    near = folder.home / "socket"
    if not _is_too_long(near) and "," not in str(near):
        folder.socket_record.unlink(missing_ok=True)
        near.mkdir(mode=0o700, exist_ok=True)
        near.chmod(0o700)
        return near
    if folder.socket_record.exists() and _is_private(folder.socket(), _server_user(folder)):
        return folder.socket()
    far = Path(tempfile.mkdtemp(prefix="rackwright-", dir=_short_parent()))
    if _is_too_long(far):
        far.rmdir()
        raise InvalidInput(
            "neither this folder nor the one for temporary files has a path short enough for a unix socket",
            where=str(near),
            mend="give a --data folder with a shorter path",
        )
    write_durably(folder.socket_record, str(far))
    return far


def forget_socket_folder(folder: Folder) -> None:
    """Remove a socket folder that lies outside the data folder; to be called when the server is down."""
    if folder.socket_record.exists():
        with contextlib.suppress(OSError):
            folder.socket().rmdir()
        folder.socket_record.unlink()


def write_durably(path: Path, text: str) -> None:
    """Write the file ``path``, readable for its owner alone, whole or not at all, also when the machine stops."""
    new = path.with_name(path.name + ".new")
    new.unlink(missing_ok=True)
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with open(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(descriptor)
    new.rename(path)
    sync_folder(path.parent)


def sync_folder(path: Path) -> None:
    """Bring the names in the folder ``path`` to disk."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def file_errors(path: Path) -> Iterator[None]:
    """Turn errors of the file system below ``path`` into ours."""
    try:
        yield
    except OSError as error:
        where = str(error.filename or path)
        if error.errno in FULL:
            raise disk_full(where) from error
        if error.errno in FORBIDDEN:
            raise InvalidInput(
                f"the data folder may not be used: {error.strerror}",
                where=where,
                mend="give a --data folder that you own and may write to",
            ) from error
        if error.errno in NO_FOLDER:
            raise InvalidInput(
                f"the data folder cannot be made: {error.strerror}", where=where, mend="give another --data folder"
            ) from error
        raise StoreUnavailable(
            f"the embedded PostgreSQL's files cannot be used: {error.strerror or error}",
            where=where,
            mend="look at the disk, then try again",
        ) from error


def disk_full(where: str) -> StoreUnavailable:
    """The error for a disk that has no room left at ``where``."""
    return StoreUnavailable(
        "the disk is full, PostgreSQL cannot run", where=where, mend="make room, or give a --data folder elsewhere"
    )


def _require_ours(path: Path) -> None:
    about = path.lstat()
    if not stat.S_ISDIR(about.st_mode):
        raise InvalidInput("this is no folder", where=str(path), mend="give another --data folder")
    if about.st_uid != os.geteuid():
        raise InvalidInput(
            f"the folder belongs to user {about.st_uid}, and this is user {os.geteuid()}",
            where=str(path),
            mend="run as its owner, or give a --data folder of your own",
        )


def _is_too_long(socket: Path) -> bool:
    return len(os.fsencode(socket / SOCKET_NAME)) > LONGEST_SOCKET_PATH


def _server_user(folder: Folder) -> int:
    return folder.cluster.stat().st_uid if folder.cluster.exists() else os.geteuid()


def _is_private(path: Path, user: int) -> bool:
    try:
        about = path.lstat()
    except OSError:
        return False
    return stat.S_ISDIR(about.st_mode) and stat.S_IMODE(about.st_mode) == 0o700 and about.st_uid == user


def _short_parent() -> Path:
    """The user's own run-time folder (what XDG_RUNTIME_DIR is on Linux), or that for temporary files."""
    mine = Path(f"/run/user/{os.geteuid()}")
    return mine if _is_private(mine, os.geteuid()) and os.access(mine, os.W_OK) else Path(tempfile.gettempdir())
