"""The jig ``ansible``: runs a playbook on a machine by ``ansible-runner``.

Parameters: ``playbook`` (path of a text of the catalog, or the playbook itself when it has more than one line),
``variables``, ``user`` (root), ``port``, ``address``, ``host_keys`` (as of ``ssh``), ``connection`` (``ssh``, or
``local``: the rack itself). The play's host is ``machine``; it sees the task's inputs as the variable ``inputs``, and
``node``, ``deployment`` and ``rack``. What it sets by ``set_stats`` are the task's facts: Ansible takes no dots in
names, so the fact ``web.version`` is the entry ``version`` of ``web``.

Needs the extra ``rackwright[ansible]`` on the rack; the machine needs Python.
"""

from __future__ import annotations

import asyncio
import importlib
import os
import sys
import threading
from collections.abc import Sequence
from typing import Any, Literal

import msgspec
import structlog

from rackwright.core.errors import DriverError, Permanent, Retryable
from rackwright.core.jig import Outcome, Work
from rackwright.drivers.jig import surroundings
from rackwright.drivers.jig.capture import last_lines
from rackwright.drivers.jig.rack_key import rack_key
from rackwright.drivers.jig.remote import Remote, remote_of

HOST = "machine"
"""The name by which plays call the machine."""
UNREACHABLE = 4
"""The exit code of ansible-playbook when a host could not be reached."""

log = structlog.get_logger()


class AnsibleParameters(msgspec.Struct, frozen=True, kw_only=True):
    """The parameters of a task of this jig."""

    playbook: str
    variables: dict[str, Any] = {}
    user: str = "root"
    port: int = 22
    address: str = ""
    host_keys: tuple[str, ...] = ()
    connection: Literal["ssh", "local"] = "ssh"


class AnsibleJig:
    """Runs playbooks with the key of the jig ``ssh``, which is kept beside this one's folder."""

    def __init__(self, folder: str) -> None:
        self._keys = os.path.join(os.path.dirname(folder), "ssh")
        self._key = ""
        self._runner: Any = None

    async def open(self) -> None:
        """Find Ansible, and make the rack's key where there is none."""
        self._key = rack_key(self._keys)
        try:
            self._runner = importlib.import_module("ansible_runner")
        except ImportError:
            log.info("no Ansible here: its tasks will fail", mend="install rackwright[ansible]")

    async def run(self, work: Work) -> Outcome:
        """Run one playbook to its end and take its facts."""
        if self._runner is None:
            raise Permanent("there is no Ansible on this rack", mend="install rackwright[ansible] there")
        given = surroundings.parameters_as(AnsibleParameters, work)
        remote = None
        if given.connection == "ssh":
            remote = remote_of(work, address=given.address, host_keys=given.host_keys, user=given.user, port=given.port)
        await asyncio.to_thread(_lay_out, work, given, remote, self._key)
        stopping = threading.Event()
        playing = asyncio.ensure_future(asyncio.to_thread(self._play, work, stopping))
        try:
            async with asyncio.timeout(work.claim.timeout):
                ended = await asyncio.shield(playing)
        except TimeoutError:
            raise Permanent(
                f"it ran longer than its timeout of {work.claim.timeout:g} s and was ended",
                mend=f"raise `timeout` of task {work.claim.task} if it needs longer",
            ) from None
        finally:
            stopping.set()
            await asyncio.wait({playing})
        return _outcome(ended, work)

    def kept(self) -> list[int]:
        """Nothing is kept."""
        return []

    async def drop(self, ids: list[int]) -> None:
        """There is nothing to stop."""

    async def close(self, grace: float) -> None:
        """Nothing is kept: every play ends within its ``run``."""

    def _play(self, work: Work, stopping: threading.Event) -> _Ended:
        """Run the play; blocks. What it says goes to the log as it comes."""
        facts: dict[str, Any] = {}
        with open(work.log, "a", encoding="utf-8") as file:

            def heard(event: dict[str, Any]) -> bool:
                if event.get("stdout"):
                    print(event["stdout"], file=file, flush=True)
                if event.get("event") == "playbook_on_stats":
                    # What set_stats gave for the whole run, not for a single host.
                    facts.update(event.get("event_data", {}).get("artifact_data", {}))
                return False

            played = self._runner.run(
                private_data_dir=work.folder,
                playbook="playbook.yml",
                quiet=True,
                envvars=_environment(work),
                settings={"idle_timeout": 0, "pexpect_timeout": 1},
                event_handler=heard,
                cancel_callback=stopping.is_set,
                rotate_artifacts=1,
            )
        return _Ended(status=str(played.status), code=played.rc, facts=facts)


class _Ended(msgspec.Struct, frozen=True):
    """How a play ended."""

    status: str
    code: int | None
    facts: dict[str, Any]


def _outcome(ended: _Ended, work: Work) -> Outcome:
    if ended.status == "successful":
        return Outcome(facts=_by_path(ended.facts, work.claim.writes))
    said = last_lines(work.log)
    unreachable = ended.code == UNREACHABLE
    kind: type[DriverError] = Retryable if unreachable else Permanent
    what = "the machine cannot be reached" if unreachable else f"the play {ended.status} (exit code {ended.code})"
    raise kind(f"{what}; it last said: {said}", where=work.claim.scope, mend="see the log of the attempt")


def _by_path(given: dict[str, Any], declared: Sequence[str], above: str = "") -> dict[str, Any]:
    """The facts by path: a mapping that is no declared fact itself holds facts below it."""
    facts: dict[str, Any] = {}
    for name, value in given.items():
        path = f"{above}{name}"
        if isinstance(value, dict) and any(one.startswith(f"{path}.") for one in declared):
            facts |= _by_path(value, declared, f"{path}.")
        else:
            facts[path] = value
    return facts


def _environment(work: Work) -> dict[str, str]:
    home = os.path.join(work.folder, "home")
    own = os.path.dirname(sys.executable)
    return {
        **surroundings.clean_environment(home=home, temporary=home),
        "ANSIBLE_HOME": home,
        "ANSIBLE_LOCAL_TEMP": home,
        "ANSIBLE_NOCOLOR": "1",
        # ansible-runner's own word is False, and SSH takes the first that it hears.
        "ANSIBLE_HOST_KEY_CHECKING": "True",
        # A shared connection needs a socket, whose path would be too long in here.
        "ANSIBLE_SSH_ARGS": "-o ControlMaster=no",
        "ANSIBLE_RETRY_FILES_ENABLED": "0",
        "PATH": f"{own}:{surroundings.search_path}",
    }


def _lay_out(work: Work, given: AnsibleParameters, remote: Remote | None, key: str) -> None:
    """Fill the work folder as ansible-runner wants it: project, inventory, and the pinned host keys."""
    claim = work.claim
    text = given.playbook if "\n" in given.playbook else claim.files.get(given.playbook)
    if text is None:
        raise Permanent(f"the catalog has no playbook {given.playbook!r}", mend="name a file that the catalog has")
    for name in ("project", "inventory", "home"):
        os.makedirs(os.path.join(work.folder, name), mode=0o700, exist_ok=True)
    surroundings.write_files(claim.files, os.path.join(work.folder, "project"))
    surroundings.write_private(os.path.join(work.folder, "project", "playbook.yml"), text)
    known = os.path.join(work.folder, "known_hosts")
    surroundings.write_private(known, remote.known_hosts() if remote is not None else "")
    about = {"node": {"name": claim.scope, "address": claim.address}, "deployment": claim.deployment, "rack": work.rack}
    machine = {**about, "inputs": claim.inputs, **given.variables, **_connection(remote, known, key)}
    hosts = {"all": {"hosts": {HOST: machine}}}
    surroundings.write_private(
        os.path.join(work.folder, "inventory", "hosts.json"), msgspec.json.encode(hosts).decode()
    )


def _connection(remote: Remote | None, known: str, key: str) -> dict[str, Any]:
    if remote is None:
        return {"ansible_connection": "local", "ansible_python_interpreter": sys.executable}
    options = f"-F /dev/null -o UserKnownHostsFile={known} -o StrictHostKeyChecking=yes -o IdentitiesOnly=yes"
    return {
        "ansible_host": remote.address,
        "ansible_port": remote.port,
        "ansible_user": remote.user,
        "ansible_ssh_private_key_file": key,
        "ansible_ssh_common_args": f"{options} -o ConnectTimeout=20",
    }
