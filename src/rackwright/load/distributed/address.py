"""Where a controller is: ``tcp://HOST:PORT``."""

from __future__ import annotations

import re

from rackwright.core.errors import InvalidInput

_PARTS = re.compile(r"(tcp://[^\s/]+):(\d{1,5}|\*)")


def parts_of(address: str) -> tuple[str, int]:
    """An address up to its port, and the port; 0 where it is ``*``.

    Raises:
        InvalidInput: when it is none.
    """
    found = _PARTS.fullmatch(address)
    if found is None or (port := 0 if found[2] == "*" else int(found[2])) > 0xFFFF - 2:
        raise InvalidInput("this is no address of a controller", where=address, mend="give tcp://HOST:PORT")
    return found[1], port
