"""Asking the api for plans, and waiting for what becomes of them."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from rackwright.cli.client import Client
from rackwright.cli.exits import ServerProblem
from rackwright.cli.output import Item
from rackwright.cli.patience import patiently
from rackwright.core.errors import Conflict, InvalidInput, RackwrightError

_WAIT = 20.0


def plan(client: Client, deployment: str, changes: dict[str, Any], *, apply: bool = False) -> Item:
    """A computed plan; with ``apply`` it has been carried out, too. Raises InvalidInput when the changes cannot be."""
    id = client.post(f"/deployments/{deployment}/plans", {"changes": changes, "apply": apply})["id"]
    found = _settled(client, id)
    if found["state"] == "failed":
        raise InvalidInput(found["error"] or "the plan failed", where=f"deployment {deployment}, plan {id}")
    return found


def read_plan(client: Client, deployment: str, id: int) -> Item:
    """A plan that was computed before. Raises InvalidInput when it is another deployment's, or no longer to be had."""
    found: Item = client.get(f"/plans/{id}")
    if found["deployment"] != deployment:
        raise InvalidInput(f"plan {id} is of deployment {found['deployment']}", where=f"plan {id}")
    if found["state"] == "failed":
        raise Conflict(found["error"] or "the plan failed", where=f"plan {id}", mend="make a new plan")
    return found


def carry_out(client: Client, id: int) -> Item:
    """Apply a computed plan exactly as it is. Raises Conflict when anything moved since."""
    client.post(f"/plans/{id}/apply", {})
    found = _settled(client, id)
    if found["state"] == "failed":
        raise Conflict(
            found["error"] or "the plan was refused", where=f"plan {id}", mend="make a new plan, and look at it again"
        )
    return found


def _settled(client: Client, id: int) -> Item:
    while True:
        found: Item = patiently(lambda: client.get(f"/plans/{id}", wait=_WAIT))
        if found["state"] in ("applied", "failed") or (found["state"] == "ready" and not found["apply"]):
            return found


def moved(error: RackwrightError) -> bool:
    """True when a plan was refused because something moved since it was made."""
    return isinstance(error, Conflict) or (isinstance(error, ServerProblem) and error.status == HTTPStatus.CONFLICT)
