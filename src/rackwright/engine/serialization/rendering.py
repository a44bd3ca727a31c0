"""A task's templates, compiled: what each depends on, and its value at a place."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from rackwright.core import legacy_expression
from rackwright.core.errors import InvalidInput
from rackwright.engine.expressions.compiler import Compiled, Compiler
from rackwright.engine.expressions.reading import Place, Reading
from rackwright.engine.expressions.template import expressions_in, fill, format_text

LOCAL = "127.0.0.1"

_NAMES: Mapping[str, tuple[str, ...]] = {
    "CLUSTER_ID": ("cluster", "id"),
    "OPENSTACK_VERSION": ("openstack_version",),
    "CN_HOSTNAME": ("public_ssl", "hostname"),
    "SETTINGS": ("settings",),
}
"""The names that texts in Fuel's parameters may hold in braces, and where their values are."""


class Rendering:
    """A template, ready to be filled at any place whose own data has only these top-level keys (``own``).

    ``readings`` are all that its value depends on, from place to place. ``sure``: filling it cannot fail.
    """

    def __init__(self, template: Any, compiler: Compiler, own: frozenset[str]) -> None:
        self._template = template
        self._compiled: dict[str, Compiled] = {}
        self._broken: InvalidInput | None = None
        try:
            for _, expression in expressions_in(template):
                self._compiled[expression] = compiler.compile(expression, own)
        except InvalidInput as error:
            self._broken = error
        self.sure = self._broken is None and all(compiled.sure for compiled in self._compiled.values())
        self.readings = _each(reading for compiled in self._compiled.values() for reading in compiled.readings)

    def at(self, place: Place) -> Any:
        """Give the filled template. Raises InvalidInput."""
        return self._filled(place, lambda text: text)

    def _filled(self, place: Place, write: Callable[[str], str]) -> Any:
        if self._broken is not None:
            raise self._broken
        return fill(self._template, lambda expression: self._compiled[expression].evaluate(place), write)


class Formatted(Rendering):
    """A template in whose texts names in braces stand for values, as in Fuel's parameters; ``master_ip`` is what
    ``{MASTER_IP}`` means."""

    def __init__(self, template: Any, compiler: Compiler, own: frozenset[str], master_ip: str) -> None:
        super().__init__(template, compiler, own)
        texts = [text for text in _texts(template) if "{" in text]
        self._used = {name: path for name, path in _NAMES.items() if any(name in text for text in texts)}
        self._master_ip = master_ip
        self._formats = any("{" in text or "}" in text for text in _texts(template))
        self.readings = _each((*self.readings, *_values(self._used.values(), own)))

    def at(self, place: Place) -> Any:
        """Give the filled template. Raises InvalidInput."""
        if not self._formats:
            return super().at(place)
        found = {name: _look_up(place.new, path) for name, path in self._used.items()}
        names = {"MASTER_IP": self._master_ip, **{name: value for name, value in found.items() if value is not None}}
        return self._filled(place, lambda text: format_text(text, names))


class LegacyCondition:
    """A condition in Fuel's old language, with the same face."""

    sure = False

    def __init__(self, text: str, own: frozenset[str]) -> None:
        self._text = text
        try:
            self.readings = _values(legacy_expression.legacy_paths(text), own)
        except InvalidInput:
            self.readings = ()

    def at(self, place: Place) -> Any:
        """Give the value of the condition. Raises InvalidInput."""
        return legacy_expression.parse(self._text)({"settings": place.new, "cluster": place.new.get("cluster")})


Condition = Rendering | LegacyCondition


def _each(readings: Iterator[Reading] | tuple[Reading, ...]) -> tuple[Reading, ...]:
    return tuple(dict.fromkeys(readings))


def _values(paths: Any, own: frozenset[str]) -> tuple[Reading, ...]:
    return _each(Reading("value", "new", path) for path in paths if not path or path[0] in own)


def _look_up(data: Any, path: tuple[str, ...]) -> Any:
    for key in path:
        data = data.get(key) if isinstance(data, Mapping) else None
    return data


def _texts(template: Any) -> Iterator[str]:
    if isinstance(template, str):
        yield template
    elif isinstance(template, Mapping):
        for value in template.values():
            yield from _texts(value)
    elif isinstance(template, list | tuple):
        for value in template:
            yield from _texts(value)
