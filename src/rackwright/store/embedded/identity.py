"""As whom the server's programs run.

PostgreSQL refuses to run as root. For root they run in a user namespace of their own, in which root is called user
1000: to the kernel they still are root without its privileges, so no file needs another owner. Where namespaces are
forbidden they run as the user ``postgres`` or ``nobody``, which then owns the cluster and the socket.
"""

from __future__ import annotations

import os
import pwd
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from rackwright.core.errors import StoreUnavailable
from rackwright.store.embedded.folder import Folder
from rackwright.store.embedded.programs import Programs, copied

FALLBACK_USERS = ("postgres", "nobody")
# Nothing of the caller's environment reaches the server: PG* variables would change what it does.
ENVIRONMENT = {"LC_ALL": "C", "PATH": "/usr/bin:/bin"}


@dataclass(frozen=True, slots=True)
class Identity:
    """As whom to run: through the command ``prefix``, and as another ``user`` with ``group`` (ids) if given."""

    prefix: tuple[str, ...] = ()
    user: int | None = None
    group: int | None = None

    def launch(self, command: list[str], *, says: int, hears: int = subprocess.DEVNULL) -> subprocess.Popen[bytes]:
        """Start ``command`` in a session of its own; its output goes to ``says``, its input comes from ``hears``."""
        return subprocess.Popen(
            [*self.prefix, *command],
            stdin=hears,
            stdout=says,
            stderr=subprocess.STDOUT,
            cwd="/",
            env=ENVIRONMENT,
            start_new_session=True,
            user=self.user,
            group=self.group,
            extra_groups=None if self.user is None else [],
        )

    def take(self, path: Path) -> None:
        """Give ``path``, with all below it, to the other user."""
        if self.user is None or self.group is None:
            return
        os.chown(path, self.user, self.group, follow_symlinks=False)
        for folder, folders, files in os.walk(path):
            for name in folders + files:
                os.chown(os.path.join(folder, name), self.user, self.group, follow_symlinks=False)

    def runs(self, programs: Programs) -> bool:
        """Whether this identity can be taken on here and may run the programs."""
        try:
            for program in (programs.postgres, programs.initdb):
                with self.launch([str(program), "--version"], says=subprocess.DEVNULL) as process:
                    if process.wait() != 0:
                        return False
        except OSError:
            return False
        return True


OURSELVES = Identity()
IN_A_NAMESPACE = Identity(prefix=(sys.executable, "-I", "-S", str(Path(__file__).with_name("namespace.py"))))


def chosen(folder: Folder, programs: Programs) -> tuple[Identity, Programs]:
    """As whom to run the server of ``folder``, and the programs that this user may run."""
    if os.geteuid() != 0:
        return OURSELVES, programs
    owner = folder.cluster.stat().st_uid if folder.cluster.exists() else 0
    if owner == 0 and IN_A_NAMESPACE.runs(programs):
        return IN_A_NAMESPACE, programs
    return lesser_user(folder, programs)


def lesser_user(folder: Folder, programs: Programs) -> tuple[Identity, Programs]:
    """For root: another user to run the server, who gets the cluster, and a copy of the programs for him."""
    owner = folder.cluster.stat().st_uid if folder.cluster.exists() else 0
    folder.home.chmod(0o711)
    copy = copied(programs, folder.programs)
    for identity in _lesser_users(owner):
        if identity.runs(copy):
            if folder.cluster.exists() and owner == 0:
                identity.take(folder.cluster)
            return identity, copy
    raise StoreUnavailable(
        "PostgreSQL does not run as root, user namespaces are forbidden here, and no lesser user reaches the folder",
        where=str(folder.home),
        mend="run as an ordinary user, or give a --data folder that every user may pass through, as below /var/lib",
    )


def _lesser_users(owner: int) -> list[Identity]:
    """The fallback users that exist; only the ``owner`` of the cluster once that is not root."""
    entries = [entry for entry in pwd.getpwall() if entry.pw_name in FALLBACK_USERS]
    entries.sort(key=lambda entry: FALLBACK_USERS.index(entry.pw_name))
    return [Identity(user=entry.pw_uid, group=entry.pw_gid) for entry in entries if owner in (0, entry.pw_uid)]
