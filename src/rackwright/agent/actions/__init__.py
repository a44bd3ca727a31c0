"""What the agent can do, by name; each takes a job and gives facts by path."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rackwright.agent.actions import bmc, burnin, erase, image, power, script
from rackwright.agent.job import Job

ACTIONS: dict[str, Callable[[Job], dict[str, Any]]] = {
    "bmc": bmc.set_up,
    "burnin": burnin.burn_in,
    "erase": erase.erase,
    "poweroff": power.power_off,
    "reboot": power.reboot,
    "script": script.run,
    "verify": image.verify,
    "write-image": image.write,
}
"""``inventory`` is the loop's own: its facts go the way of all that the machine is seen to be."""
