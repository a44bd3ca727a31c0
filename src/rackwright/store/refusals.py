"""The words with which both stores refuse."""

from __future__ import annotations

from rackwright.core.errors import Conflict, NotFound, StoreUnavailable


def name_taken(kind: str, name: str) -> Conflict:
    """A second scope of one kind and name."""
    return Conflict(f"there is already a {kind} called {name}", mend="take another name")


def busy(kind: str, name: str, task: str) -> Conflict:
    """A scope on which something runs cannot be removed."""
    return Conflict(
        f"{task} is running on the {kind} {name}", where=name, mend="stop the deployment and wait until it has ended"
    )


def occupied(kind: str, name: str, other_kind: str, other: str) -> Conflict:
    """A scope that something stands on cannot be removed."""
    if kind == "node":
        what, mend = f"the node {name} is a member of the deployment {other}", f"unbind {name} from {other} first"
    else:
        relation = "stands in" if other_kind == "node" else "lies below"
        what, mend = f"the {other_kind} {other} {relation} the {kind} {name}", f"delete {other} first"
    return Conflict(what, where=name, mend=mend)


def unknown(kind: str, which: object) -> NotFound:
    """A name, id or digest that is not known."""
    return NotFound(f"there is no {kind} {which}")


def closed() -> StoreUnavailable:
    """The store was closed by its own process."""
    return StoreUnavailable("the store is closed")
