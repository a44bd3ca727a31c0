"""Functions of installed packages as hooks: entry points of the group ``rackwright.hook``."""

from __future__ import annotations

import inspect
from collections.abc import Collection, Mapping
from importlib.metadata import entry_points
from typing import Protocol

import structlog

from rackwright.core.errors import InvalidInput, Permanent
from rackwright.core.hooks import Message, Subscription, events_of

GROUP = "rackwright.hook"

log = structlog.get_logger()


class Function(Protocol):
    """What an entry point names: an object with the events that it wants, and a coroutine that is told of them.

    It runs within the conductor, so it must not block. It may be told the same message twice: ``message.key`` tells.
    """

    events: Collection[str]

    async def told(self, message: Message) -> None:
        """Take one message; whatever it raises means that it did not, and it is told again."""


def find_functions() -> dict[str, Function]:
    """Every installed hook by the name of its entry point. One that cannot be used is left out; the log says why."""
    found: dict[str, Function] = {}
    for point in entry_points(group=GROUP):
        try:
            hook: Function = point.load()
            events_of(tuple(hook.events))
            if not inspect.iscoroutinefunction(hook.told):
                raise InvalidInput("told is no coroutine", where=point.value, mend="write `async def told(message)`")
        except Exception as error:
            log.exception("hook cannot be loaded", hook=point.name, source=point.value, reason=str(error))
        else:
            found[point.name] = hook
    return found


class FunctionCourier:
    """Calls functions by the names of their entry points."""

    limit = 10.0

    def __init__(self, functions: Mapping[str, Function]) -> None:
        self._functions = functions

    async def carry(self, subscription: Subscription, message: Message, catalog: dict[str, str]) -> None:
        """Tell one function. Raises Permanent when it is not installed here."""
        hook = self._functions.get(subscription.target)
        if hook is None:
            raise Permanent(
                f"no hook {subscription.target} is installed beside this conductor",
                mend="install its package there, or delete it with `rackwright webhook delete`",
            )
        await hook.told(message)
