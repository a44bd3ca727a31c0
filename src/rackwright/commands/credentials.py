"""The tokens of one machine's own processes: made once, kept in the data folder for their owner alone, and known to
the store by their SHA-256 only."""

from __future__ import annotations

import os
from pathlib import Path

from rackwright.api import tokens
from rackwright.core.audit import Change
from rackwright.core.errors import Conflict, InvalidInput
from rackwright.core.jig import folder_name
from rackwright.engine import machines
from rackwright.store.postgres import PostgresStore

ADMIN = "up"
"""Name of the operator's token in the store."""


def token_file(data: Path, rack: str) -> Path:
    """Where the token of a rack is kept."""
    return data / "tokens" / f"rack-{folder_name(rack)}"


async def admin_token(store: PostgresStore, data: Path) -> str:
    """The operator's token, known to the store from now on."""
    token = _kept(data / "tokens" / "admin", tokens.OPERATOR_PREFIX)
    known = await store.views.token(tokens.digest(token))
    await store.views.add_token(ADMIN, tokens.digest(token), "admin")
    if known is None:
        async with store.transaction() as tx:
            await tx.note([Change(kind="token.added", text=f"the token {ADMIN} may do everything")])
    return token


async def rack_token(store: PostgresStore, data: Path, rack: str) -> Path:
    """The file with a rack's token; makes the rack known where it is not yet.

    Raises Conflict when the rack is known under another token than the one in the file.
    """
    file = token_file(data, rack)
    token = _kept(file, tokens.RACK_PREFIX)
    known = await store.views.rack_secret(rack)
    if known is None:
        await machines.add_rack(store, rack, tokens.digest(token))
    elif known[1] != tokens.digest(token):
        raise Conflict(
            f"the rack {rack} has another token than the one that is kept here",
            where=str(file),
            mend="put the rack's own token into the file, or delete the rack and let it be made anew",
        )
    return file


def _kept(file: Path, prefix: str) -> str:
    """The token in a file; a new one where there is none. It appears whole or not at all."""
    try:
        token = file.read_text(encoding="ascii").strip()
    except FileNotFoundError:
        token = tokens.new_token(prefix)
        _write(file, token)
    except (OSError, ValueError) as error:
        raise InvalidInput(f"the token cannot be read: {error}", where=str(file), mend="mend or delete it") from None
    if not tokens.well_formed(token):
        raise InvalidInput("the file holds no token", where=str(file), mend="put the token back, or delete the file")
    return token


def _write(file: Path, token: str) -> None:
    file.parent.mkdir(mode=0o700, exist_ok=True)
    draft = file.with_name(f".{file.name}.{os.getpid()}")
    with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="ascii") as opened:
        opened.write(f"{token}\n")
        opened.flush()
        os.fsync(opened.fileno())
    draft.replace(file)
