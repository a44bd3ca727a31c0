"""What must be there before a load begins, and must go after it: set up once for a workload, cleaned up in reverse."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar


class Context:
    """One of them. ``setup`` puts what scenarios need into ``shared`` (JSON-able: load processes get a copy)."""

    order: ClassVar[int] = 1000
    """Lower ones are set up first."""

    def __init__(self, config: Any, shared: dict[str, Any]) -> None:
        self.config = config
        self.shared = shared

    async def setup(self) -> None:
        """Make it."""

    async def cleanup(self) -> None:
        """Remove it. It is called also when ``setup`` failed half way."""


class Surrounding:
    """The contexts of one workload: ``async with`` sets them up and cleans them up.

    A context that cannot be set up ends the workload, after those before it were cleaned up. One that cannot be
    cleaned up is told in ``notes``.
    """

    def __init__(self, kinds: Sequence[tuple[type[Context], Any]], shared: Mapping[str, Any]) -> None:
        self.shared: dict[str, Any] = dict(shared)
        self.notes: list[str] = []
        ordered = sorted(kinds, key=lambda pair: pair[0].order)
        self._all = [kind(config, self.shared) for kind, config in ordered]
        self._visited: list[Context] = []

    async def __aenter__(self) -> dict[str, Any]:
        try:
            for context in self._all:
                self._visited.append(context)
                await _call(context.setup)
        except BaseException:
            await self._clean()
            raise
        return self.shared

    async def __aexit__(self, *_: object) -> None:
        await self._clean()

    async def _clean(self) -> None:
        while self._visited:
            context = self._visited.pop()
            try:
                await _call(context.cleanup)
            except Exception as error:
                name = type(context).__name__
                self.notes.append(f"the context {name} could not be cleaned up: {type(error).__name__}: {error}")


async def _call(step: Any) -> None:
    result = step()
    if inspect.isawaitable(result):
        await result
