"""Rally's ``dummy_context``: it makes nothing, and fails where it is told to."""

from __future__ import annotations

from typing import Any, ClassVar

import msgspec

from rackwright.load.contexts import Context


class DummySettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where it fails."""

    fail_setup: bool = False
    fail_cleanup: bool = False


class DummyContextFailed(Exception):
    """It was asked to fail."""


class DummyContext(Context):
    """Tries how a run takes a context that fails."""

    settings: ClassVar[Any] = DummySettings

    async def setup(self) -> None:
        """Fail if asked."""
        if msgspec.convert(self.config or {}, DummySettings).fail_setup:
            raise DummyContextFailed("fail_setup is set")

    async def cleanup(self) -> None:
        """Fail if asked."""
        if msgspec.convert(self.config or {}, DummySettings).fail_cleanup:
            raise DummyContextFailed("fail_cleanup is set")
