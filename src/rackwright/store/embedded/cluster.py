"""PostgreSQL's own data folder: made once, its settings written before every start."""

from __future__ import annotations

import secrets
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path

from rackwright.core.errors import StoreUnavailable
from rackwright.store.embedded.folder import DATABASE, ROLE, Folder, disk_full, sync_folder, write_durably
from rackwright.store.embedded.identity import Identity
from rackwright.store.embedded.log import Log, explained
from rackwright.store.embedded.programs import Programs

ROOM_FOR_A_NEW_ONE = 100 * 1024 * 1024  # bytes; a new cluster has about 60 MB

# A cluster while it is being made; one rename makes it the cluster.
UNBORN = "cluster.new-"

HBA = f"local all {ROLE} scram-sha-256\n"

# For a machine of two cores and some gigabytes, and a load of many small writes.
SETTINGS = """\
# Written by Rackwright before every start; use ALTER SYSTEM for settings of your own.
listen_addresses = ''
port = 5432
unix_socket_directories = '{socket}'
unix_socket_permissions = 0700
password_encryption = scram-sha-256
max_connections = 100
shared_buffers = 128MB
effective_cache_size = 1GB
work_mem = 8MB
maintenance_work_mem = 128MB
random_page_cost = 1.1
jit = off
fsync = on
full_page_writes = on
synchronous_commit = on
min_wal_size = 256MB
max_wal_size = 2GB
checkpoint_timeout = 10min
wal_buffers = 16MB
autovacuum_vacuum_scale_factor = 0.05
autovacuum_analyze_scale_factor = 0.05
client_connection_check_interval = 5s
logging_collector = off
log_destination = stderr
log_line_prefix = '%m [%p] '
log_startup_progress_interval = 2s
log_timezone = UTC
timezone = UTC
lc_messages = C
dynamic_shared_memory_type = posix
default_text_search_config = 'pg_catalog.english'
"""


def prepare(folder: Folder, identity: Identity, programs: Programs, say: Callable[[str], None]) -> None:
    """Make the cluster if there is none, else check that these programs can use it.

    Raises StoreUnavailable for another major version, a folder that is no cluster, a lost password, a full disk.
    """
    _remove_unborn(folder)
    if not folder.cluster.exists():
        say("making a new PostgreSQL data folder")
        _create(folder, identity, programs)
        return
    _require_version(folder, programs)
    if not folder.passfile.exists():
        raise StoreUnavailable(
            "the password of the embedded PostgreSQL is lost",
            where=str(folder.passfile),
            mend="put the file back from a backup",
        )


def write_settings(cluster: Path, socket: Path, identity: Identity) -> None:
    """Write the two files of settings into ``cluster``; the socket will be in the folder ``socket``."""
    quoted = str(socket).replace("\\", "\\\\").replace("'", "''")
    for name, text in (("postgresql.conf", SETTINGS.format(socket=quoted)), ("pg_hba.conf", HBA)):
        write_durably(cluster / name, text)
        identity.take(cluster / name)


def _create(folder: Folder, identity: Identity, programs: Programs) -> None:
    if shutil.disk_usage(folder.home).free < ROOM_FOR_A_NEW_ONE:
        raise disk_full(str(folder.home))
    # Each attempt has a name of its own: the initdb of one that was cut short may still be writing.
    unborn = Path(tempfile.mkdtemp(prefix=UNBORN, dir=folder.home))
    password = secrets.token_urlsafe(32)
    write_durably(folder.passfile, f"*:*:*:{ROLE}:{password}\n")
    handed = folder.home / "password.new"
    write_durably(handed, password)
    identity.take(handed)
    identity.take(unborn)
    try:
        _run(folder, identity, _initdb(programs, unborn, handed))
    finally:
        handed.unlink()
    single = [str(programs.postgres), "--single", "-D", str(unborn), "postgres"]
    _run(folder, identity, single, f"CREATE DATABASE {DATABASE};\n")
    sync_folder(unborn)
    unborn.rename(folder.cluster)
    sync_folder(folder.home)


def _remove_unborn(folder: Folder) -> None:
    for left in folder.home.glob(f"{UNBORN}*"):
        shutil.rmtree(left, ignore_errors=True)


def _initdb(programs: Programs, unborn: Path, password: Path) -> list[str]:
    return [
        str(programs.initdb),
        f"--pgdata={unborn}",
        f"--username={ROLE}",
        f"--pwfile={password}",
        "--auth=scram-sha-256",
        "--encoding=UTF8",
        "--locale=C",
        "--locale-provider=builtin",
        "--builtin-locale=C.UTF-8",
        "--data-checksums",
        "--no-instructions",
    ]


def _run(folder: Folder, identity: Identity, command: list[str], text: str = "") -> None:
    with identity.launch(command, says=subprocess.PIPE, hears=subprocess.PIPE) as process:
        said = process.communicate(text.encode())[0].decode(errors="replace").splitlines()
    if process.returncode != 0:
        for line in said:
            Log(folder.log).note(line)
        raise explained(said, folder.log)


def _require_version(folder: Folder, programs: Programs) -> None:
    stamp = folder.cluster / "PG_VERSION"
    if not stamp.exists():
        raise StoreUnavailable(
            "the folder is no PostgreSQL data folder",
            where=str(folder.cluster),
            mend="put it back from a backup, or move it away to begin with an empty one",
        )
    made_by, version = stamp.read_text().strip(), programs.version()
    if made_by != version.partition(".")[0]:
        raise StoreUnavailable(
            f"the data was made by PostgreSQL {made_by}, and this is PostgreSQL {version}",
            where=str(folder.cluster),
            mend=f"install the release of Rackwright that has PostgreSQL {made_by}, dump with pg_dump, load into a new"
            " folder",
        )
