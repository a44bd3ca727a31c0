"""Catalogs and the roles in them."""

from __future__ import annotations

from typing import Any

import msgspec
from starlette.responses import Response

from rackwright.api.bodies import CATALOG_LIMIT, reply
from rackwright.api.call import PREFIX, Call, route
from rackwright.api.names import Name
from rackwright.api.pages import whole
from rackwright.api.services import Services
from rackwright.core.catalog import Catalog, Role
from rackwright.core.ports import Transaction
from rackwright.engine.transact import transact

_WORDS = (
    "requires", "precedes", "provides", "conflicts",
    "abstract", "implicit", "discovery", "cluster", "service", "milestone",
)  # fmt: skip


class NewCatalog(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A catalog: its texts by path relative to its folder."""

    name: Name
    files: dict[str, str]


class RolesQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The roles of one catalog, or of all."""

    catalog: str | None = None


async def list_catalogs(call: Call) -> Response:
    """Every catalog that was added, and those that are installed with the product."""
    return whole(await _all(call.services))


async def add_catalog(call: Call) -> Response:
    """Read a catalog and keep it; its name means it from now on. Deployments keep what they have until re-planned."""
    given, services = await call.body(NewCatalog), call.services
    digest = await services.catalogs.add(call.store, given.name, given.files)
    return reply({"name": given.name, "digest": digest}, 201, {"Location": f"{PREFIX}/catalogs/{given.name}"})


async def get_catalog(call: Call) -> Response:
    """One catalog: its roles, and how many tasks each of its graphs has."""
    name = call.path["name"]
    digest, catalog = await _find(call.services, name)
    graphs = {kind: len(graph.tasks) for kind, graph in sorted(catalog.graphs.items())}
    roles = sorted(catalog.roles)
    return reply({"name": name, "digest": digest, "strict": catalog.strict, "roles": roles, "graphs": graphs})


async def list_roles(call: Call) -> Response:
    """Roles by catalog and name; of each catalog those that people are meant to choose come first."""
    wanted, services = call.query(RolesQuery).catalog, call.services
    names = [wanted] if wanted is not None else [record["name"] for record in await _all(services)]
    roles: list[dict[str, Any]] = []
    for name in names:
        _, catalog = await _find(services, name)
        first = sorted(catalog.roles.values(), key=lambda role: (not role.milestone, role.name))
        roles += [_role(name, role) for role in first]
    return whole(roles)


async def _all(services: Services) -> list[dict[str, Any]]:
    added = await services.views.catalogs()
    names = {record["name"] for record in added}
    installed = [
        {"name": name, "digest": digest, "created_at": None}
        for name, digest in services.catalogs.shipped().items()
        if name not in names
    ]
    return sorted([*added, *installed], key=lambda record: str(record["name"]))


async def _find(services: Services, name: str) -> tuple[str, Catalog]:
    async def work(tx: Transaction) -> tuple[str, Catalog]:
        digest = await services.catalogs.resolve(tx, name)
        return digest, (await services.catalogs.shelf(tx, digest)).catalog

    return await transact(services.store, work)


def _role(catalog: str, role: Role) -> dict[str, Any]:
    return {
        "catalog": catalog,
        "name": role.name,
        "description": role.description,
        "tags": role.tags or (role.name,),
        "primary": role.primary,
        "attributes": role.attributes,
        **{name: getattr(role, name) for name in _WORDS},
        "source": str(role.source),
    }


routes = [
    route("GET", f"{PREFIX}/catalogs", list_catalogs, "read"),
    route("POST", f"{PREFIX}/catalogs", add_catalog, "admin", CATALOG_LIMIT),
    route("GET", f"{PREFIX}/catalogs/{{name}}", get_catalog, "read"),
    route("GET", f"{PREFIX}/roles", list_roles, "read"),
]
