"""Who may load together: CURVE keys (RFC 26 of ZeroMQ) for both sides, and a token that all of them know.

A controller lets in those whose public key it has; an agent speaks to the one controller whose public key it has. Files
are for their owner alone (0600).
"""

from __future__ import annotations

import os
import secrets
from pathlib import Path
from typing import Annotated, TypeVar

import msgspec
import zmq

from rackwright.core.errors import Conflict, InvalidInput, NotAllowed, NotFound

CONTROLLER = "controller.key"
AGENT = "agent.key"
_OTHERS = 0o077


Key = Annotated[str, msgspec.Meta(min_length=40, max_length=40)]
"""A CURVE key in Z85 (RFC 32 of ZeroMQ)."""


class ControllerKeys(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a controller has: its own pair, the public keys of agents, the token."""

    public: Key
    secret: Key
    agents: tuple[Key, ...]
    token: str


class AgentKeys(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What an agent has: its own pair, the public key of the controller, the token. Many agents may share it."""

    public: Key
    secret: Key
    controller: Key
    token: str


K = TypeVar("K", ControllerKeys, AgentKeys)


def pair() -> tuple[ControllerKeys, AgentKeys]:
    """New keys for a controller and its agents."""
    public, secret = (key.decode() for key in zmq.curve_keypair())
    agent_public, agent_secret = (key.decode() for key in zmq.curve_keypair())
    token = secrets.token_urlsafe(24)
    return (
        ControllerKeys(public=public, secret=secret, agents=(agent_public,), token=token),
        AgentKeys(public=agent_public, secret=agent_secret, controller=public, token=token),
    )


def make(folder: Path) -> tuple[Path, Path]:
    """Write new keys into a folder; gives the files of the controller and of the agents.

    Raises:
        Conflict: when there are keys already.
    """
    folder.mkdir(parents=True, exist_ok=True)
    files = folder / CONTROLLER, folder / AGENT
    for file, keys in zip(files, pair(), strict=True):
        try:
            opened = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError:
            raise Conflict("there are keys already", where=str(file), mend="use them, or remove them first") from None
        with open(opened, "wb") as written:
            written.write(msgspec.json.format(msgspec.json.encode(keys), indent=1))
    return files


def read(file: Path, kind: type[K]) -> K:
    """The keys in a file.

    Raises:
        NotFound: when there is no such file.
        NotAllowed: when others than its owner may read it.
        InvalidInput: when it holds something else.
    """
    try:
        text = file.read_bytes()
        open_to_others = file.stat().st_mode & _OTHERS
    except OSError as error:
        raise NotFound(
            f"the keys cannot be read: {error.strerror}", where=str(file), mend="make them: rackwright load keys FOLDER"
        ) from None
    if open_to_others:
        raise NotAllowed("others may read these keys", where=str(file), mend=f"chmod 600 {file}; better make new ones")
    try:
        return msgspec.json.decode(text, type=kind)
    except msgspec.MsgspecError as error:
        raise InvalidInput(
            f"these are not the keys that are needed: {error}",
            where=str(file),
            mend=f"a controller has {CONTROLLER}, an agent {AGENT}",
        ) from None
