"""The library of catalogs: kept in the store by digest, decoded once per process."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from functools import cached_property
from typing import Any

import msgspec

from rackwright.core.audit import Change
from rackwright.core.catalog import Catalog, Task
from rackwright.core.errors import NotFound
from rackwright.core.inputs import Path, defaults_of
from rackwright.core.inputs import digest as digest_of
from rackwright.core.lint.finding import did_you_mean
from rackwright.core.ports import Store, Transaction
from rackwright.engine.catalogs import find, read_texts, refuse_unsound, shipped, stack
from rackwright.engine.expressions import Compiler, Evaluator
from rackwright.engine.sight import BLIND, Paths, Sight, look

GONE = "gone"
"""Type of a task that a node task still names and its deployment's catalog no longer has."""


class Shelf(msgspec.Struct, frozen=True):
    """A decoded catalog, with what is asked of it again and again."""

    catalog: Catalog
    tasks: dict[tuple[str, str], Task]
    """By graph type and task id; their reads are the declared ones and those that their expressions imply."""
    defaults: dict[str, Any]
    sights: dict[tuple[str, str], Sight]
    """What the expressions of each task look at."""
    digests: dict[tuple[str, str], bytes]
    """Of each task with the texts that it names."""

    def task(self, graph: str, name: str) -> Task:
        """The task of a graph; one of the type GONE when the catalog no longer has it: its node tasks are in error
        until the graph is planned again, and keep nothing else from running."""
        return self.tasks.get((graph, name)) or Task(id=name, type=GONE)

    def seen(self, graph: str, name: str) -> tuple[Task, Sight]:
        """The same, and what its expressions look at."""
        return self.task(graph, name), self.sights.get((graph, name), BLIND)


class CatalogLibrary:
    """Catalogs by digest. Safe to share within a process: what is kept under a digest never changes."""

    def __init__(self) -> None:
        self._shelves: dict[str, Shelf] = {}
        self._shipped: dict[str, tuple[bytes, str]] = {}

    def forget(self) -> None:
        """Read every catalog anew when it is asked for next, the installed ones too."""
        self._shelves.clear()
        self._shipped.clear()

    @cached_property
    def evaluator(self) -> Evaluator:
        """Evaluates the catalogs' expressions; made when first needed, for it takes a while."""
        return Evaluator()

    @cached_property
    def compiler(self) -> Compiler:
        """Tells what expressions read, and compiles them."""
        return Compiler(self.evaluator)

    async def add(self, store: Store, name: str, files: Mapping[str, str]) -> str:
        """Read a catalog from texts by path, stack it on what ``name`` means already among the shipped ones and the
        plugins, keep it, and let ``name`` mean it. Gives the digest; raises InvalidInput with every fault."""
        layers = [find(name)] if name in shipped() else []
        catalog = stack([*layers, read_texts(name, files)])
        refuse_unsound(catalog)
        document, digest = _encode(catalog)
        async with store.transaction() as tx:
            await tx.put_catalog(digest, name, document)
            kept = {"catalog": name, "digest": digest}
            await tx.note([Change(kind="catalog.added", text=f"the catalog {name} was added", after=kept)])
        return digest

    async def resolve(self, tx: Transaction, name: str) -> str:
        """Digest of the catalog that ``name`` means now: the newest that was added, else the one that this version of
        the product ships."""
        known = await tx.catalog_digest(name)
        if known is not None:
            return known
        if name not in shipped():
            mend = did_you_mean(name, shipped()) or "add one with `rackwright catalog add`"
            raise NotFound(f"there is no catalog {name}", mend=f"{mend}; shipped: {', '.join(sorted(shipped()))}")
        document, digest = self._of_this_version(name)
        await tx.put_catalog(digest, None, document)
        return digest

    def shipped(self) -> dict[str, str]:
        """Digests of the catalogs that are installed with this version of the product, by name."""
        return {name: self._of_this_version(name)[1] for name in shipped()}

    def _of_this_version(self, name: str) -> tuple[bytes, str]:
        if name not in self._shipped:
            self._shipped[name] = _encode(find(name))
        return self._shipped[name]

    async def shelf(self, tx: Transaction, digest: str) -> Shelf:
        """The decoded catalog of a digest."""
        if digest not in self._shelves:
            catalog = msgspec.msgpack.decode(await tx.catalog(digest), type=Catalog)
            self._shelves[digest] = _shelve(catalog, self.paths)
        return self._shelves[digest]

    def paths(self, expression: str) -> tuple[Path, ...]:
        """The paths under ``$`` that an expression may read."""
        return self.compiler.paths(expression)


def _encode(catalog: Catalog) -> tuple[bytes, str]:
    document = msgspec.msgpack.encode(catalog, order="deterministic")
    return document, hashlib.blake2b(document, digest_size=20).hexdigest()


def _shelve(catalog: Catalog, paths: Paths) -> Shelf:
    seen = {(graph.type, task.id): look(task, paths) for graph in catalog.graphs.values() for task in graph.tasks}
    tasks = {key: task for key, (task, _) in seen.items()}
    sights = {key: sight for key, (_, sight) in seen.items()}
    digests = {key: digest_of(task, catalog.files) for key, task in tasks.items()}
    return Shelf(catalog, tasks, defaults_of(catalog), sights, digests)
