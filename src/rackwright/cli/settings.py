"""Which api to speak to, and with which token: flags over environment over ``client.toml`` in the data folder."""

from __future__ import annotations

import json
import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from rackwright.core.errors import InvalidInput, NotAllowed

SERVER = "http://127.0.0.1:8420"
FILE = "client.toml"


@dataclass(frozen=True)
class Settings:
    """The api's URL and the operator's token."""

    server: str
    token: str


def data_folder(environment: Mapping[str, str]) -> Path:
    """``$RACKWRIGHT_DATA``, else ``rackwright`` in the user's folder for data (XDG)."""
    if environment.get("RACKWRIGHT_DATA"):
        return Path(environment["RACKWRIGHT_DATA"])
    share = environment.get("XDG_DATA_HOME") or os.path.expanduser("~/.local/share")
    return Path(share) / "rackwright"


def read_settings(server: str | None, token_file: str | None, environment: Mapping[str, str]) -> Settings:
    """The settings in force. Raises NotAllowed when no token is to be found anywhere, InvalidInput for a bad file."""
    file = data_folder(environment) / FILE
    kept = _read(file)
    url = server or environment.get("RACKWRIGHT_SERVER") or kept.get("server") or SERVER
    token = _read_token(token_file) if token_file else environment.get("RACKWRIGHT_TOKEN") or kept.get("token", "")
    if not token:
        raise NotAllowed(
            "there is no token to show to the api",
            where=str(file),
            mend="run `rackwright up` on this machine, or give --token-file FILE or RACKWRIGHT_TOKEN",
        )
    return Settings(url.rstrip("/"), token)


def write_settings(folder: Path, settings: Settings) -> Path:
    """Keep settings in a data folder, for its owner alone (0600), whole or not at all. Gives the file's path."""
    file = folder / FILE
    draft = folder / f".{FILE}.{os.getpid()}"
    # TOML's basic strings take JSON's escapes.
    text = f"server = {json.dumps(settings.server)}\ntoken = {json.dumps(settings.token)}\n"
    with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as opened:
        opened.write(text)
    draft.replace(file)
    return file


def _read(file: Path) -> dict[str, str]:
    try:
        kept = tomllib.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise InvalidInput(f"the settings cannot be read: {error}", where=str(file), mend="mend or delete it") from None
    return {key: value for key, value in kept.items() if isinstance(value, str)}


def _read_token(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8").strip()
    except (OSError, ValueError) as error:
        raise InvalidInput(f"the token cannot be read: {error}", where=path, mend="give another --token-file") from None
