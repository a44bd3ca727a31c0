"""Reads the file in which a process gives its facts."""

from __future__ import annotations

import os
import stat

import msgspec

from rackwright.core.errors import Permanent
from rackwright.core.jig import Outcome, Wait
from rackwright.core.parking import LONGEST

largest_output = 1024 * 1024
"""Bytes."""

parked_form = "write parked={seconds} and what it waits for, or in JSON an object with `until`, in seconds"

_mend = "write a JSON object, or lines `path=value`, to the file named by RACKWRIGHT_OUTPUT"


def read_output(path: str) -> Outcome:
    """The facts in the file: a JSON object of facts by path, whose member ``nodes`` may hold facts by node name; or
    lines ``path=value``, whose values are texts. A missing or empty file gives none.

    ``parked`` says that the attempt goes on by itself: in JSON an object of ``until``, ``reason`` and ``until_fact``;
    as a line ``parked=SECONDS REASON``.

    Raises ``Permanent`` when it is anything else.
    """
    text = _read(path).strip()
    return _from_json(text) if text[:1] in (b"{", b"[") else _from_lines(text)


def _read(path: str) -> bytes:
    """Everything that could write the file has ended: what lstat says stays true."""
    try:
        about = os.lstat(path)
    except FileNotFoundError:
        return b""
    if not stat.S_ISREG(about.st_mode):
        raise Permanent("the file of facts is not a plain file", mend=_mend)
    if about.st_size > largest_output:
        raise Permanent(f"the file of facts is larger than {largest_output} bytes", mend="give small facts")
    with open(path, "rb") as file:
        return file.read()


def _from_json(text: bytes) -> Outcome:
    try:
        facts = msgspec.json.decode(text, type=dict[str, object])
        node_facts = msgspec.convert(facts.pop("nodes", {}), dict[str, dict[str, object]])
        parked = msgspec.convert(facts.pop("parked", None), Wait | None)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise Permanent(f"the file of facts is wrong: {error}", mend=_mend) from error
    return Outcome(facts=facts, node_facts=node_facts, parked=_checked(parked))


def _from_lines(text: bytes) -> Outcome:
    facts: dict[str, object] = {}
    for number, line in enumerate(text.decode(errors="replace").splitlines(), 1):
        path, equals, value = line.partition("=")
        if line.strip() and not equals:
            raise Permanent(f"the file of facts is wrong: line {number} has no '='", mend=_mend)
        if equals:
            facts[path.strip()] = value.strip()
    parked = facts.pop("parked", None)
    return Outcome(facts=facts, parked=None if parked is None else _from_words(str(parked)))


def _from_words(words: str) -> Wait | None:
    seconds, _, reason = words.partition(" ")
    try:
        return _checked(Wait(until=float(seconds), reason=reason.strip()))
    except ValueError:
        raise Permanent(f"the attempt cannot be parked for {words!r}", mend=parked_form) from None


def _checked(wait: Wait | None) -> Wait | None:
    if wait is not None and not 0 < wait.until <= LONGEST:
        raise Permanent(f"the attempt cannot be parked for {wait.until:g} s: at most {LONGEST:g}", mend=parked_form)
    return wait
