"""Deployments: making them, reading how they stand, and the words by which people steer them."""

from __future__ import annotations

import msgspec
from starlette.responses import Response

from rackwright.api.bodies import nothing, reply
from rackwright.api.call import PREFIX, Call, route
from rackwright.api.names import Name, split, unknown
from rackwright.api.pages import whole
from rackwright.core.views import DeploymentView, Views
from rackwright.engine import deployments


class NewDeployment(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A deployment to be made: the name of its catalog, and of the deployment whose facts it inherits."""

    name: Name
    catalog: Name
    parent: Name | None = None


class Which(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which node tasks of a deployment: of these tasks, on these nodes; null: of all."""

    tasks: list[str] | None = None
    nodes: list[str] | None = None


class Nothing(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A body that says nothing: ``{}``."""


class DeploymentsQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which deployments: by name (``a,b,c``), or all."""

    names: str | None = None


async def one(views: Views, name: str) -> DeploymentView:
    """A deployment as it stands. Raises NotFound that names the nearest."""
    found = await views.deployments(names=[name])
    if found:
        return found[0]
    raise unknown("deployment", name, [deployment.name for deployment in await views.deployments()])


async def list_deployments(call: Call) -> Response:
    """Deployments in the order of their names."""
    return whole(await call.services.views.deployments(names=split(call.query(DeploymentsQuery).names)))


async def get_deployment(call: Call) -> Response:
    """One deployment: its state, its node tasks counted, and why it does not go on."""
    return reply(await one(call.services.views, call.path["name"]))


async def add_deployment(call: Call) -> Response:
    """Make an empty deployment."""
    given, services = await call.body(NewDeployment), call.services
    await deployments.create(call.store, services.catalogs, given.name, catalog=given.catalog, parent=given.parent)
    location = {"Location": f"{PREFIX}/deployments/{given.name}"}
    return reply(await one(services.views, given.name), 201, location)


async def delete_deployment(call: Call) -> Response:
    """Delete a deployment with its facts and node tasks; refused while something runs."""
    name = await _known(call)
    await deployments.delete(call.store, name)
    return nothing()


async def stop(call: Call) -> Response:
    """Begin nothing new; what runs ends by itself."""
    name = await _known(call)
    await call.body(Nothing)
    await deployments.stop(call.store, name)
    return reply(await one(call.services.views, name))


async def retry(call: Call) -> Response:
    """Try failed node tasks again; the answer counts them."""
    name = await _known(call)
    which = await call.body(Which)
    count = await deployments.retry(call.store, name, tasks=which.tasks, nodes=which.nodes)
    return reply({"count": count})


async def commit(call: Call) -> Response:
    """Let proposed node tasks run; the answer counts them."""
    name = await _known(call)
    which = await call.body(Which)
    count = await deployments.commit(call.store, name, tasks=which.tasks, nodes=which.nodes)
    return reply({"count": count})


async def _known(call: Call) -> str:
    return (await one(call.services.views, call.path["name"])).name


_ONE = f"{PREFIX}/deployments/{{name}}"
routes = [
    route("GET", f"{PREFIX}/deployments", list_deployments, "read"),
    route("POST", f"{PREFIX}/deployments", add_deployment, "admin"),
    route("GET", _ONE, get_deployment, "read"),
    route("DELETE", _ONE, delete_deployment, "admin"),
    route("POST", f"{_ONE}/stop", stop, "admin"),
    route("POST", f"{_ONE}/retry", retry, "admin"),
    route("POST", f"{_ONE}/commit", commit, "admin"),
]
