"""What a service task asks for, and what that means on this rack: words, variables, files and their fingerprint."""

from __future__ import annotations

import hashlib
import os
import signal
import tempfile
from collections.abc import Callable
from functools import partial
from typing import Any, Literal

import msgspec

from rackwright.core.errors import Permanent
from rackwright.core.jig import Work
from rackwright.drivers.jig import surroundings
from rackwright.drivers.jig.ready import Check
from rackwright.drivers.jig.supervised import Spec


class ServiceParameters(msgspec.Struct, frozen=True):
    """``command`` and the values of ``env``, ``files`` and ``ready`` may hold ${STATE}, ${FILES}, ${ADDRESS}, ${NODE}.

    ``files`` are those whose contents make the service another one when they change: names of the catalog's texts or
    paths. ``facts`` are given when it is ready. ``name`` is for its digest fact; the task's id when empty.
    """

    command: list[str | int | float] = []
    env: dict[str, Any] = {}
    files: list[str] = []
    stop_signal: str = "TERM"
    ready: Check | Literal["none"] | None = None
    state: Literal["running", "stopped"] = "running"
    facts: dict[str, Any] = {}
    name: str = ""


def resolve_service(given: ServiceParameters, work: Work, folder: str) -> tuple[Spec, Check]:
    """What shall run, with all placeholders replaced, and how to see that it is ready.

    Raises ``Permanent`` when the parameters make no sense on this rack.
    """
    if not given.command:
        raise Permanent("the service has no command", mend="give `command`: a list of words")
    if f"SIG{given.stop_signal}" not in signal.Signals.__members__:
        raise Permanent(f"there is no signal {given.stop_signal!r}", mend="name one like TERM, INT or QUIT")
    claim = work.claim
    values = {
        "STATE": work.state,
        "FILES": os.path.join(folder, "files"),
        "ADDRESS": claim.address,
        "NODE": claim.scope,
    }
    fill = partial(_fill, values)
    words = [fill(str(word)) for word in given.command]
    own = {name: fill(value) for name, value in surroundings.given_variables(given.env).items()}
    env = surroundings.clean_environment(home=work.state, temporary=tempfile.gettempdir())
    spec = Spec(
        name=given.name or claim.task,
        scope=claim.scope,
        words=words,
        env=env | surroundings.task_variables(work) | own,
        cwd=work.state,
        stop_signal=f"SIG{given.stop_signal}",
        digest=_digest(words, own, _contents(given, work, fill)),
    )
    return spec, _fill_check(given.ready, fill)


def _fill(values: dict[str, str | None], text: str) -> str:
    for name, value in values.items():
        placeholder = f"${{{name}}}"
        if placeholder in text and value is None:
            raise Permanent(f"{text!r} needs an address, and the scope has none", mend="set `desired.address`")
        text = text.replace(placeholder, value or "")
    return text


def _fill_check(ready: Check | Literal["none"] | None, fill: Callable[[str], str]) -> Check:
    if not isinstance(ready, Check):
        return Check()
    parts = {name: fill(str(value)) for name, value in msgspec.to_builtins(ready).items()}
    return Check(**parts)


def _contents(given: ServiceParameters, work: Work, fill: Callable[[str], str]) -> dict[str, str]:
    """Fingerprints of the files whose contents count, by the name that the task gives them."""
    texts = {name: text.encode() for name, text in work.claim.files.items()}
    for name in given.files:
        if name not in texts:
            texts[name] = _read(os.path.join(work.state, fill(name)))
    return {name: hashlib.sha256(text).hexdigest() for name, text in texts.items()}


def _read(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError as error:
        mend = "let an earlier task write it (and require that task), or take it out of `files`"
        raise Permanent(f"the service's file cannot be read: {error.strerror}", where=path, mend=mend) from error


def _digest(words: list[str], env: dict[str, str], contents: dict[str, str]) -> str:
    """Changes exactly when the service is configured in another way."""
    said = msgspec.json.encode((words, env, contents), order="deterministic")
    return hashlib.sha256(said).hexdigest()[:32]


def service_facts(given: ServiceParameters, spec: Spec, work: Work) -> dict[str, Any]:
    """The facts of a service that is ready; its digest only where the task declares to write it."""
    digest = {f"service.{spec.name}.digest": spec.digest}
    return given.facts | {path: value for path, value in digest.items() if path in work.claim.writes}
