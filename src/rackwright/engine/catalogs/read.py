"""A catalog from a folder, or from texts by path: the same reading, with every fault at once."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath

import msgspec

from rackwright.core import files as catalog_files
from rackwright.core.catalog import Catalog, Graph, Position, Role, Task
from rackwright.core.errors import InvalidInput, NotFound
from rackwright.core.lint.finding import Finding, has_errors, in_reading_order
from rackwright.core.lint.shape import duplicate_ids
from rackwright.engine.catalogs import graphs
from rackwright.engine.catalogs.fields import Fields, shown
from rackwright.engine.catalogs.roles import roles_of
from rackwright.engine.catalogs.tasks import tasks_of
from rackwright.engine.catalogs.yaml_text import Document, read_yaml

LARGEST = 4 * 1024 * 1024
"""Bytes that one file of a catalog may have."""
_YAML = (".yaml", ".yml")
_DEPLOY = "deploy"


class Read(msgspec.Struct, frozen=True):
    """What could be read, and what is wrong with it. ``whole`` is false when a file could not be read at all, so that
    names may be missing for that reason alone."""

    catalog: Catalog
    findings: tuple[Finding, ...]
    whole: bool


def read_catalog(path: Path) -> Catalog:
    """Read the catalog in a folder.

    Raises NotFound when there is no such folder, InvalidInput with every fault when the catalog cannot be used.
    """
    return _sound(examine_catalog(path))


def read_texts(name: str, files: Mapping[str, str]) -> Catalog:
    """Read a catalog from texts by path relative to its root; ``name`` stands for the root's own name.

    Raises InvalidInput with every fault when the catalog cannot be used.
    """
    return _sound(examine_texts(name, files))


def examine_catalog(path: Path, *, prefix: str = "", strict: bool = False) -> Read:
    """Read a folder and give what could be read with what is wrong. ``prefix`` is put before the file of every place;
    ``strict`` reads it as if it said ``strict: true``.

    Raises NotFound when there is no such folder.
    """
    if not path.is_dir():
        raise NotFound(f"no folder {path}", mend="name a folder that holds a catalog")
    texts: dict[str, str] = {}
    findings: list[Finding] = []
    for file in sorted(_files_below(path)):
        text = _text(path, file, prefix, findings)
        if text is not None:
            texts[file] = text
    read = examine_texts(path.resolve().name, texts, prefix=prefix, strict=strict)
    more = {file: _text(path, file, prefix, findings) for file in _named(read.catalog) if file not in texts}
    found = {file: text for file, text in more.items() if text is not None}
    catalog = msgspec.structs.replace(read.catalog, files=dict(sorted({**read.catalog.files, **found}.items())))
    return Read(catalog, in_reading_order([*read.findings, *findings]), read.whole and not findings)


def examine_texts(name: str, files: Mapping[str, str], *, prefix: str = "", strict: bool = False) -> Read:
    """As ``examine_catalog``, of texts by path relative to the catalog's root."""
    findings = [_no_path(file, prefix) for file in files if not _is_path(file)]
    files = {file: text for file, text in files.items() if _is_path(file)}
    strict = strict or _claims_to_be_strict(files)
    documents = {
        file: _document(file, files[file], strict, prefix, findings) for file in sorted(filter(_is_yaml, files))
    }
    readable = {file: document for file, document in documents.items() if document is not None}
    title = _title(readable, findings)
    catalog = Catalog(
        name=title.text("name", default=name),
        description=title.text("description"),
        strict=title.flag("strict", default=False) or strict,
        roles=_roles(readable, findings),
        graphs=_graphs(name, readable, findings),
    )
    title.refuse_left(("name", "description", "strict"))
    if not catalog.roles and not catalog.graphs and len(readable) == len(documents):
        at = Position(f"{prefix}catalog.yaml", 1)
        findings.append(Finding("error", "empty", at, "the catalog has no tasks and no roles", "add tasks.yaml"))
    named = set(_named(catalog))
    kept = {file: text for file, text in sorted(files.items()) if file in named or _in_folders(file)}
    catalog = msgspec.structs.replace(catalog, files=kept)
    return Read(catalog, in_reading_order(findings), len(readable) == len(documents))


def _sound(read: Read) -> Catalog:
    if not has_errors(read.findings):
        return read.catalog
    faults = tuple(str(found) for found in read.findings if found.severity == "error")
    count = "one fault" if len(faults) == 1 else f"{len(faults)} faults"
    raise InvalidInput(f"catalog {read.catalog.name} has {count}: {faults[0]}", mend="mend each", faults=faults)


# ---- which file is what


def _is_path(file: str) -> bool:
    """True for a path that stays below the root, wherever the catalog's texts are unpacked."""
    path = PurePosixPath(file)
    return bool(path.parts) and not path.is_absolute() and ".." not in path.parts and "\0" not in file


def _no_path(file: str, prefix: str) -> Finding:
    message = f"{file!r} is no path below the catalog's root"
    return Finding("error", "bad-file", Position(f"{prefix}catalog.yaml", 1), message, "name files as scripts/a.sh")


def _is_yaml(file: str) -> bool:
    """True for the files of the format: tasks, metadata, roles and the catalog's own."""
    path = PurePosixPath(file)
    if path.suffix not in _YAML or _in_folders(file):
        return False
    at_root = path.stem in ("catalog", "roles") and len(path.parts) == 1
    return at_root or path.stem in ("tasks", "metadata") or _is_of_roles(path)


def _is_of_roles(path: PurePosixPath) -> bool:
    if path.stem in ("tasks", "metadata"):
        return False
    return (len(path.parts) == 1 and path.stem == "roles") or (len(path.parts) == 2 and path.parts[0] == "roles")


def _in_folders(file: str) -> bool:
    return PurePosixPath(file).parts[0] in catalog_files.folders


def _named(catalog: Catalog) -> list[str]:
    """The files that tasks with a jig name, once each."""
    tasks = (task for graph in catalog.graphs.values() for task in graph.tasks if task.jig)
    return list(dict.fromkeys(file for task in tasks for file in catalog_files.named_files(task.parameters)))


def _files_below(root: Path) -> Iterator[str]:
    """The files that belong to a catalog by their name, as paths relative to its root."""
    for folder, below, files in os.walk(root):
        below[:] = [name for name in below if not name.startswith((".", "__"))]
        for name in files:
            file = (Path(folder) / name).relative_to(root).as_posix()
            if not name.startswith(".") and (_is_yaml(file) or _in_folders(file)):
                yield file


def _text(root: Path, file: str, prefix: str, findings: list[Finding]) -> str | None:
    """Read one file, or None with a finding; also None when a file that a task names is not there (lint says so)."""
    path = root / file
    at = Position(f"{prefix}{file}", 1)
    if not path.resolve().is_relative_to(root.resolve()):
        message, mend = f"{file} lies outside of the catalog", "copy it into the catalog"
        findings.append(Finding("error", "bad-file", at, message, mend))
        return None
    if not path.is_file():
        return None
    try:
        if path.stat().st_size > LARGEST:
            message, mend = f"{file} is larger than {LARGEST // 2**20} MiB", "let a task fetch it instead"
            findings.append(Finding("error", "bad-file", at, message, mend))
            return None
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = "it is no UTF-8 text" if isinstance(error, UnicodeDecodeError) else str(error)
        message, mend = f"{file} cannot be read: {reason}", "a catalog holds texts that its owner may read"
        findings.append(Finding("error", "bad-file", at, message, mend))
        return None


# ---- from documents to the catalog


def _claims_to_be_strict(files: Mapping[str, str]) -> bool:
    said = files.get("catalog.yaml") or files.get("catalog.yml", "")
    document, _ = read_yaml("catalog.yaml", said, repeated="error")
    return document is not None and isinstance(document.value, dict) and document.value.get("strict") is True


def _document(file: str, text: str, strict: bool, prefix: str, findings: list[Finding]) -> Document | None:
    document, found = read_yaml(f"{prefix}{file}", text, repeated="error" if strict else "warning")
    findings.extend(found)
    return document


def _title(documents: Mapping[str, Document], findings: list[Finding]) -> Fields:
    """The fields of catalog.yaml; none when there is no such file."""
    document = documents.get("catalog.yaml") or documents.get("catalog.yml")
    entry = document.whole() if document else Document("catalog.yaml", {}, None).whole()
    if not isinstance(entry.value, dict):
        message = f"catalog.yaml must be a mapping, not {shown(entry.value)}"
        findings.append(Finding("error", "bad-value", entry.place, message, "write name: ..."))
        entry = entry._replace(value={})
    return Fields(entry, "catalog", findings)


def _roles(documents: Mapping[str, Document], findings: list[Finding]) -> dict[str, Role]:
    roles: dict[str, Role] = {}
    for file, document in documents.items():
        for role in roles_of(document, findings) if _is_of_roles(PurePosixPath(file)) else ():
            if role.name in roles:
                message = f"a second role {role.name}; the first is at {roles[role.name].source}"
                findings.append(Finding("error", "duplicate-id", role.source, message, "rename one"))
            else:
                roles[role.name] = role
    return roles


def _graphs(name: str, documents: Mapping[str, Document], findings: list[Finding]) -> dict[str, Graph]:
    """Graphs by type: the deployment first, the others by name."""
    tasks: dict[str, list[Task]] = {}
    metadata: dict[str, graphs.Metadata] = {}
    for file, document in documents.items():
        stem = PurePosixPath(file).stem
        kind = _graph_type(name, file, documents)
        if stem == "tasks":
            tasks.setdefault(kind, []).extend(tasks_of(document, findings))
        elif stem == "metadata":
            metadata[kind] = graphs.metadata_of(document, findings)
    for found in tasks.values():
        findings.extend(duplicate_ids(found))
    kinds = sorted({*tasks, *metadata}, key=lambda kind: (kind != _DEPLOY, kind))
    made = {kind: (tuple(tasks.get(kind, ())), metadata.get(kind, graphs.Metadata())) for kind in kinds}
    return {
        kind: Graph(
            type=kind,
            tasks=own,
            node_filter=said.node_filter,
            outcome=said.outcome,
            bootenv=said.bootenv,
            source=said.source,
        )
        for kind, (own, said) in made.items()
    }


def _graph_type(name: str, file: str, documents: Mapping[str, Document]) -> str:
    """The type of the graph that a file belongs to: the folder below ``graphs``, or the folder that has tasks and a
    node filter, or the deployment's."""
    folder = PurePosixPath(file).parent
    parts = folder.parts
    if "graphs" in parts[:-1]:
        kind = parts[len(parts) - parts[::-1].index("graphs", 1)]
    elif _has_node_filter(folder, documents):
        kind = folder.name or name
    else:
        kind = _DEPLOY
    return graphs.aliases.get(kind, kind)


def _has_node_filter(folder: PurePosixPath, documents: Mapping[str, Document]) -> bool:
    has_tasks = any((folder / f"tasks{suffix}").as_posix() in documents for suffix in _YAML)
    said = [documents.get((folder / f"metadata{suffix}").as_posix()) for suffix in _YAML]
    return has_tasks and any(
        document is not None and isinstance(document.value, dict) and document.value.get("node_filter")
        for document in said
    )
