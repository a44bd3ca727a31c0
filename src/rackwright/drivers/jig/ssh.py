"""The jig ``ssh``: runs a script on a machine over SSH, as the jig ``script`` runs one on the rack.

Parameters: those of ``script``, and ``user`` (root), ``port`` (22), ``address`` (the node's), ``host_keys`` (else the
input of this alias). The machine needs a POSIX shell, mktemp and tar.
"""

from __future__ import annotations

import asyncio
import io
import os
import shlex
import tarfile
from contextlib import suppress
from pathlib import Path

import asyncssh

from rackwright.core.errors import Permanent, Retryable
from rackwright.core.jig import Outcome, Work
from rackwright.drivers.jig import surroundings
from rackwright.drivers.jig.capture import last_lines
from rackwright.drivers.jig.output import largest_output, read_output
from rackwright.drivers.jig.program import temporary_failure
from rackwright.drivers.jig.rack_key import rack_key
from rackwright.drivers.jig.remote import connected, remote_of
from rackwright.drivers.jig.script import ScriptParameters, interpreter, script_text

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
"""Of the machine."""
PIECE = 64 * 1024
"""Bytes of a log that are moved at once."""
TIDY = 10.0
"""Seconds to end what is left there."""


class SshParameters(ScriptParameters, frozen=True):
    """What is the jig's of the parameters, besides those of a script."""

    user: str = "root"
    port: int = 22
    address: str = ""
    host_keys: tuple[str, ...] = ()


class SshJig:
    """Runs scripts on machines; ``folder`` keeps the rack's key."""

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self._key = ""

    async def open(self) -> None:
        """Make the rack's key where there is none. Scripts of a former process have ended with their connection."""
        self._key = rack_key(self._folder)

    async def run(self, work: Work) -> Outcome:
        """Run one script to its end and read its facts."""
        given = surroundings.parameters_as(SshParameters, work)
        remote = remote_of(work, address=given.address, host_keys=given.host_keys, user=given.user, port=given.port)
        async with connected(remote, self._key) as machine:
            folder = await _laid_out(machine, work, given)
            try:
                _judge(await _carried_out(machine, work, given, folder), work)
                return await _facts(machine, folder, work)
            finally:
                with suppress(OSError, asyncssh.Error, TimeoutError):
                    async with asyncio.timeout(TIDY):
                        await machine.run(_END.format(folder=shlex.quote(folder)), stdin=asyncssh.DEVNULL)

    def kept(self) -> list[int]:
        """Nothing is kept."""
        return []

    async def drop(self, ids: list[int]) -> None:
        """There is nothing to stop."""

    async def close(self, grace: float) -> None:
        """Nothing is kept: every script ends within its ``run``."""


_END = 'test -s {folder}/group && kill -s KILL -- "-$(cat {folder}/group)" 2>/dev/null; rm -rf {folder}'
"""Ends the script with all its children, and leaves nothing behind."""


async def _laid_out(machine: asyncssh.SSHClientConnection, work: Work, given: ScriptParameters) -> str:
    """Bring over the script, its inputs and its files; gives the folder on the machine."""
    made = await machine.run("umask 077; mktemp -d /tmp/rackwright-XXXXXXXX", stdin=asyncssh.DEVNULL)
    folder = str(made.stdout or "").strip()
    if made.exit_status or not folder.startswith("/"):
        raise Retryable(f"no folder could be made there: {str(made.stderr or '').strip()}", where=work.claim.scope)
    unpack = f"tar -xf - -C {shlex.quote(folder)} 2>&1"
    unpacked = await machine.run(unpack, input=_packed(work, given), encoding=None)
    if unpacked.exit_status:
        raise Permanent(f"the files could not be brought there: {unpacked.stdout!r}", where=work.claim.scope)
    return folder


def _packed(work: Work, given: ScriptParameters) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        texts = {"script": script_text(work, given), "inputs.json": surroundings.inputs_text(work)}
        texts |= {f"files/{surroundings.inner_path(path)}": text for path, text in work.claim.files.items()}
        for name, text in texts.items():
            data = text.encode()
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(data), 0o700 if text.startswith("#!") else 0o600
            archive.addfile(entry, io.BytesIO(data))
    return packed.getvalue()


async def _carried_out(
    machine: asyncssh.SSHClientConnection, work: Work, given: ScriptParameters, folder: str
) -> int | None:
    """Start the script in a process group of its own and take what it says until its end; gives its exit code."""
    process = await machine.create_process(
        _command(work, given, folder), stdin=asyncssh.DEVNULL, stderr=asyncssh.STDOUT, encoding=None
    )
    left = given.log_limit
    try:
        async with asyncio.timeout(work.claim.timeout):
            while data := await process.stdout.read(PIECE):
                await asyncio.to_thread(_keep, work.log, data[:left])
                left -= len(data)
                if left < 0:
                    mend = "let it say less, or raise the task's parameter `log_limit` (bytes)"
                    raise Permanent(f"it said more than the log limit of {given.log_limit} bytes", mend=mend)
            return (await process.wait()).exit_status
    except TimeoutError:
        raise Permanent(
            f"it ran longer than its timeout of {work.claim.timeout:g} s and was killed",
            mend=f"raise `timeout` of task {work.claim.task} if it needs longer",
        ) from None
    except (OSError, asyncssh.Error) as error:
        if isinstance(error, asyncssh.Error):
            raise Retryable(f"the connection was lost: {error}", where=work.claim.scope) from error
        mend = "free space on that disk, or point the rack's data folder to a larger one; then retry"
        raise Permanent(f"the log could not be written: {error.strerror}", where=work.log, mend=mend) from error
    finally:
        process.close()


def _keep(path: str, data: bytes) -> None:
    with open(path, "ab") as file:
        file.write(data)


def _command(work: Work, given: ScriptParameters, folder: str) -> str:
    variables = {
        **surroundings.input_variables(work.claim.inputs),
        **{"PATH": PATH, "HOME": folder, "LANG": "C.UTF-8", "TMPDIR": folder},
        **surroundings.given_variables(given.env),
        **surroundings.task_variables(work),
        "RACKWRIGHT_STATE": "",
        "RACKWRIGHT_ATTEMPT": str(work.claim.attempt),
        "RACKWRIGHT_INPUTS": f"{folder}/inputs.json",
        "RACKWRIGHT_OUTPUT": f"{folder}/output",
        "RACKWRIGHT_FILES": f"{folder}/files",
    }
    words = ["env", "-i", *(f"{name}={value}" for name, value in variables.items())]
    words += [*interpreter(script_text(work, given)), f"{folder}/script", *(str(word) for word in given.args)]
    inner = f"echo $$ > {shlex.quote(folder)}/group; cd {shlex.quote(folder)} && exec {shlex.join(words)}"
    # What the script leaves running holds the connection open: it is killed as soon as the script has ended.
    kill = f'kill -s KILL -- "-$(cat {shlex.quote(folder)}/group)" 2>/dev/null'
    return f"setsid --wait sh -c {shlex.quote(inner)}; code=$?; {kill}; exit $code"


def _judge(code: int | None, work: Work) -> None:
    """Raise what is wrong with a script that ended, if anything is."""
    if code == 0:
        return
    said = last_lines(work.log)
    words = f"; it last said: {said}" if said else "; it said nothing"
    if code == temporary_failure:
        raise Retryable(f"it asks to be tried again (exit code {code}){words}")
    if code is None:
        raise Retryable(f"the connection was lost, or the script was killed{words}", where=work.claim.scope)
    mend = f"see the log of task {work.claim.task} on {work.claim.scope}"
    raise Permanent(f"it ended with exit code {code}{words}", mend=mend)


async def _facts(machine: asyncssh.SSHClientConnection, folder: str, work: Work) -> Outcome:
    """Fetch the file of facts, at most a little more than it may hold, and read it."""
    most = largest_output + 1
    command = f"test ! -e {folder}/output || head -c {most} {shlex.quote(folder)}/output"
    fetched = await machine.run(command, stdin=asyncssh.DEVNULL, encoding=None)
    path = os.path.join(work.folder, "output")
    data = fetched.stdout
    await asyncio.to_thread(Path(path).write_bytes, data if isinstance(data, bytes) else b"")
    return read_output(path)
