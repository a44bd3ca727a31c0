"""Catalogs by name: shipped with the product, or brought by plugins; or by the path of a folder.

A plugin is an entry point of the group ``rackwright.catalog``. Its value ``package:folder`` names a folder of data in a
package; the package is found, not run. A plugin with the name of a shipped catalog is a layer on top of it.
"""

from __future__ import annotations

import os
from importlib.metadata import EntryPoint, entry_points
from importlib.util import find_spec
from pathlib import Path

from rackwright.core.catalog import Catalog
from rackwright.core.errors import InvalidInput, NotFound
from rackwright.core.lint.finding import did_you_mean
from rackwright.engine.catalogs.read import read_catalog
from rackwright.engine.catalogs.stack import stack

GROUP = "rackwright.catalog"
_SHIPPED = "rackwright.catalogs"


def shipped() -> dict[str, tuple[Path, ...]]:
    """Every catalog that is installed, by name: its folders, the product's own first, then plugins' by their package.

    Raises InvalidInput for a plugin whose folder is not there.
    """
    found: dict[str, dict[Path, None]] = {}
    for folder in sorted(_package(_SHIPPED).iterdir()):
        if folder.is_dir() and not folder.name.startswith(("_", ".")):
            found.setdefault(folder.name, {})[folder] = None
    for plugin in sorted(entry_points(group=GROUP), key=lambda plugin: (plugin.name, plugin.value)):
        if plugin.module != _SHIPPED:
            found.setdefault(plugin.name, {})[_folder(plugin)] = None
    return {name: tuple(folders) for name, folders in sorted(found.items())}


def folders(name_or_path: str) -> tuple[Path, ...]:
    """The folders whose catalogs are the layers of what a name or a path means.

    A bare word is a name first, and a folder if there is no catalog of that name. Raises NotFound when it is neither.
    """
    path = Path(name_or_path)
    known = shipped() if os.sep not in name_or_path and not name_or_path.startswith(".") else {}
    if name_or_path in known:
        return known[name_or_path]
    if path.is_dir():
        return (path,)
    mend = did_you_mean(name_or_path, known) or f"name a folder, or one of: {', '.join(known or shipped()) or 'none'}"
    raise NotFound(f"there is no catalog {name_or_path}", mend=mend)


def find(name_or_path: str) -> Catalog:
    """Read the catalog of a name or a path, stacked from its layers.

    Raises NotFound when there is none, InvalidInput with every fault when it cannot be used.
    """
    return stack([read_catalog(folder) for folder in folders(name_or_path)])


def _folder(plugin: EntryPoint) -> Path:
    folder = _package(plugin.module) / plugin.attr
    if not folder.is_dir():
        where = f"entry point {GROUP}: {plugin.name}"
        raise InvalidInput(
            f"the plugin names the folder {folder}, which is not there", where=where, mend="reinstall it"
        )
    return folder


def _package(name: str) -> Path:
    """The folder of a package, without running it."""
    spec = find_spec(name)
    if spec is None or not spec.submodule_search_locations:
        mend = "write the entry point as package:folder"
        raise InvalidInput(f"there is no package {name}", where=f"entry points of {GROUP}", mend=mend)
    return Path(next(iter(spec.submodule_search_locations)))
