"""YAML with places: a document's plain data, and the line on which each key and list item stands."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import yaml

from rackwright.core.catalog import Position
from rackwright.core.lint.finding import Finding, Severity

DEPTH = 60
"""Levels of nesting that a file may have. The C parser of YAML ends the process at some ten thousand."""
PLACES = 100_000
"""Keys and items that a file may have, references followed: a few lines of references can stand for billions."""

_NOT_JSON = {
    "tag:yaml.org,2002:timestamp": "a date",
    "tag:yaml.org,2002:binary": "binary data",
    "tag:yaml.org,2002:set": "a set",
    "tag:yaml.org,2002:omap": "an ordered map",
    "tag:yaml.org,2002:pairs": "a list of pairs",
}


class Entry(NamedTuple):
    """A value of a document, where it begins, and the lines below it by dotted path."""

    value: Any
    place: Position
    lines: dict[str, int]


class Document:
    """One file of YAML, read."""

    def __init__(self, file: str, value: Any, node: yaml.Node | None) -> None:
        self.file = file
        self.value = value
        self._node = node

    def whole(self) -> Entry:
        """The document as one entry."""
        return self._entry(self.value, self._node)

    def items(self) -> Iterator[Entry]:
        """Each item of a document that is a list."""
        nodes = self._node.value if isinstance(self._node, yaml.SequenceNode) else []
        for value, node in zip(self.value or [], nodes, strict=True):
            yield self._entry(value, node)

    def _entry(self, value: Any, node: yaml.Node | None) -> Entry:
        if node is None:
            return Entry(value, Position(self.file, 1), {})
        return Entry(value, Position(self.file, _line(node)), dict(_lines(node, "")))


def read_yaml(file: str, text: str, *, repeated: Severity) -> tuple[Document | None, list[Finding]]:
    """Read one document, and give it with what is wrong in it; no document when it cannot be read at all.

    ``repeated`` is how grave a key is that stands twice in one mapping (YAML keeps the last).
    """
    try:
        if _too_deep(text):
            return None, [_fault("bad-yaml", file, 1, f"nested deeper than {DEPTH} levels", "write it flatter")]
        loader = yaml.CSafeLoader(text)
        node = loader.get_single_node()
        findings = _faults(file, node, repeated) if node is not None else []
        if node is None or any(found.code == "bad-yaml" for found in findings):
            return (None if findings else Document(file, None, None)), findings
        return Document(file, loader.construct_document(node), node), findings
    except yaml.MarkedYAMLError as error:
        return None, [_syntax_fault(file, error)]
    except yaml.YAMLError as error:
        return None, [_fault("bad-yaml", file, 1, f"not YAML: {' '.join(str(error).split())}", "save it as UTF-8 text")]


def _faults(file: str, node: yaml.Node, repeated: Severity) -> list[Finding]:
    findings, places = [], 0
    for found in _inspect(file, node, repeated, 0):
        places += found is None
        if places > PLACES:
            return [_fault("bad-yaml", file, 1, f"stands for more than {PLACES} values", "use fewer references")]
        if found is not None:
            findings.append(found)
    return findings


def _too_deep(text: str) -> bool:
    depth = 0
    for event in yaml.parse(text, Loader=yaml.CSafeLoader):
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > DEPTH:
            return True
    return False


def _syntax_fault(file: str, error: yaml.MarkedYAMLError) -> Finding:
    mark = error.problem_mark or error.context_mark
    line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
    context = f" {error.context}" if error.context else ""
    message = f"not YAML at column {column}: {error.problem or 'it cannot be read'}{context}"
    return _fault("bad-yaml", file, line, message, _how_to_mend(str(error.problem)))


def _how_to_mend(problem: str) -> str:
    hints = {
        "cannot start any token": "indent with spaces, not tabs; quote a text that begins with @, ` or %",
        "mapping values are not allowed": "quote a text that holds ': ', and look at the indentation above",
        "did not find expected": "look at the indentation and at unclosed brackets or quotes in the lines above",
        "unexpected end of stream": "close the quote or bracket",
        "undefined alias": "define the &anchor before the *alias, or quote a text that begins with *",
        "another document": "keep one document to a file: remove the line ---",
        "could not determine a constructor": "leave out the !tag",
    }
    return next((mend for part, mend in hints.items() if part in problem), "look at the indentation and the quotes")


def _inspect(file: str, node: yaml.Node, repeated: Severity, depth: int) -> Iterator[Finding | None]:
    """Give what is wrong at and below a node, and None for every place."""
    yield None
    if depth > DEPTH:
        yield _fault("bad-yaml", file, _line(node), "refers to itself, or is nested too deep", "use fewer references")
        return
    if node.tag in _NOT_JSON or (node.tag.endswith(":float") and node.value.lower().endswith((".nan", ".inf"))):
        kind = _NOT_JSON.get(node.tag, "no finite number")
        yield _fault("bad-value", file, _line(node), f"{kind}: {node.value!s:.40}", "quote it, so that it is a text")
    if isinstance(node, yaml.MappingNode):
        yield from _repeated_keys(file, node, repeated)
    children = [pair[1] for pair in node.value] if isinstance(node, yaml.MappingNode) else node.value
    if isinstance(node, yaml.CollectionNode):
        for child in children:
            yield from _inspect(file, child, repeated, depth + 1)


def _repeated_keys(file: str, node: yaml.MappingNode, repeated: Severity) -> Iterator[Finding]:
    seen: dict[str, int] = {}
    for key, _ in node.value:
        if not isinstance(key, yaml.ScalarNode):
            yield _fault("bad-yaml", file, _line(key), "a key that is a list or a mapping", "write a text as key")
        elif key.value in seen:
            message = f"the key {key.value} stands here again, after line {seen[key.value]}: only this one counts"
            yield Finding(repeated, "repeated-key", Position(file, _line(key)), message, "keep one of the two")
        else:
            seen[key.value] = _line(key)


def _lines(node: yaml.Node, path: str) -> Iterator[tuple[str, int]]:
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            below = f"{path}{key.value}"
            yield below, _line(key)
            yield from _lines(value, f"{below}.")
    elif isinstance(node, yaml.SequenceNode):
        for number, item in enumerate(node.value):
            yield f"{path}{number}", _line(item)
            yield from _lines(item, f"{path}{number}.")


def _line(node: yaml.Node) -> int:
    return int(node.start_mark.line) + 1


def _fault(code: str, file: str, line: int, message: str, mend: str) -> Finding:
    return Finding("error", code, Position(file, line), message, mend)
