"""Run a script on the machine: its output is the attempt's log, its facts are in a file that it writes."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import threading
from typing import IO, Any

from rackwright.agent.job import Failed, Job, Retry

TEMPORARY_FAILURE = 75
"""The exit code by which a script asks to be tried again: EX_TEMPFAIL of sysexits.h."""
LARGEST_FACTS = 1 << 20
"""Bytes."""
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def run(job: Job) -> dict[str, Any]:
    """Run it to its end. Exit code 75 asks for another try; any other but 0 is a failure."""
    words = _laid_out(job)
    with subprocess.Popen(
        words,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        cwd=job.folder,
        env=_environment(job),
        start_new_session=True,
    ) as process:
        assert process.stdout is not None
        listener = threading.Thread(target=_listen, args=(process.stdout, job), daemon=True)
        listener.start()
        try:
            code = _watched(process, job)
        finally:
            _kill(process.pid)
        listener.join(2.0)
    _judge(code)
    return _facts(os.path.join(job.folder, "output"))


def _laid_out(job: Job) -> list[str]:
    """Write the script and its files; gives the words that start it."""
    given = job.text("script") or job.text("name")
    text = given if "\n" in given else job.files.get(given)
    if text is None:
        raise Failed(f"there is no script {given!r} (name a file that the catalog has, or give the text itself)")
    for name, content in job.files.items():
        if name.startswith("/") or ".." in name.split("/"):
            raise Failed(f"the file {name!r} leads out of its folder (use paths relative to the catalog)")
        path = os.path.join(job.folder, "files", name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        _write(path, content, 0o700 if content.startswith("#!") else 0o600)
    inputs = job.parameters.get("inputs") or {}
    _write(os.path.join(job.folder, "inputs.json"), json.dumps(inputs), 0o600)
    os.makedirs(os.path.join(job.folder, "tmp"), exist_ok=True)
    script = os.path.join(job.folder, "script")
    _write(script, text, 0o700)
    first = text.split("\n", 1)[0]
    words = first[2:].split(None, 1) if first.startswith("#!") else []
    return [*(words or ["/bin/sh"]), script, *(str(word) for word in job.parameters.get("args") or ())]


def _environment(job: Job) -> dict[str, str]:
    inputs = job.parameters.get("inputs") or {}
    folder = job.folder
    return {
        **{_name(alias): _text(value) for alias, value in inputs.items() if isinstance(value, str | int | float)},
        "PATH": _PATH,
        "HOME": folder,
        "LANG": "C.UTF-8",
        "TMPDIR": os.path.join(folder, "tmp"),
        **{str(name): _text(value) for name, value in (job.parameters.get("env") or {}).items()},
        "RACKWRIGHT_INPUTS": os.path.join(folder, "inputs.json"),
        "RACKWRIGHT_OUTPUT": os.path.join(folder, "output"),
        "RACKWRIGHT_FILES": os.path.join(folder, "files"),
    }


def _watched(process: subprocess.Popen[bytes], job: Job) -> int:
    while True:
        try:
            return process.wait(0.2)
        except subprocess.TimeoutExpired:
            job.check()


def _listen(pipe: IO[bytes], job: Job) -> None:
    while piece := os.read(pipe.fileno(), 65536):
        job.say(piece.decode(errors="replace"))


def _kill(group: int) -> None:
    """The script led a session of its own: whatever it left in it ends with it."""
    try:
        os.killpg(group, signal.SIGKILL)
    except ProcessLookupError:
        return


def _judge(code: int) -> None:
    if code == TEMPORARY_FAILURE:
        raise Retry(f"the script asks to be tried again (exit code {code})")
    if code < 0:
        raise Failed(f"the script was killed by signal {-code} (see its log)")
    if code:
        raise Failed(f"the script ended with exit code {code} (see its log)")


def _facts(path: str) -> dict[str, Any]:
    """A JSON object of facts by path, or lines ``path=value``; none where nothing was written."""
    try:
        if os.path.getsize(path) > LARGEST_FACTS:
            raise Failed(f"the file of facts is larger than {LARGEST_FACTS} bytes (give small facts)")
        with open(path, encoding="utf-8", errors="replace") as file:
            text = file.read().strip()
    except FileNotFoundError:
        return {}
    if text.startswith("{"):
        try:
            said: dict[str, Any] = json.loads(text)
        except ValueError as error:
            raise Failed(f"the file of facts is wrong: {error} (write a JSON object, or lines path=value)") from None
        return said
    pairs = [line.partition("=") for line in text.splitlines() if line.strip()]
    if not all(equals for _, equals, _ in pairs):
        raise Failed("the file of facts is wrong (write a JSON object, or lines path=value)")
    return {name.strip(): value.strip() for name, _, value in pairs}


def _name(alias: str) -> str:
    return re.sub(r"[^A-Z0-9_]", "_", alias.upper())


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, str | int | float) else ""


def _write(path: str, text: str, mode: int) -> None:
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode), "w", encoding="utf-8", newline="") as file:
        file.write(text)
