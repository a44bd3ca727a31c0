"""Have a user on the machine's own BMC."""

from __future__ import annotations

from typing import Any

from rackwright.agent import ipmi
from rackwright.agent.job import Failed, Job, Retry


def set_up(job: Job) -> dict[str, Any]:
    """Set name, password and rights of a user; the password is in no fact and no log."""
    channel = int(job.seconds("channel")) or 1
    privilege = job.text("privilege", "administrator")
    if privilege not in ipmi.PRIVILEGES:
        raise Failed(f"there is no privilege {privilege!r} (it is one of {', '.join(ipmi.PRIVILEGES)})")
    name = job.text("user")
    try:
        with ipmi.Bmc() as bmc:
            slot = ipmi.set_user(bmc, name, job.text("password"), int(job.seconds("slot")), channel, privilege)
    except ipmi.Unwilling as error:
        raise Failed(str(error)) from None
    except OSError as error:
        raise Retry(f"the IPMI driver: {error.strerror}") from None
    job.say(f"user {name} has slot {slot} on channel {channel}\n")
    return {"bmc.user": {"user": name, "slot": slot, "channel": channel, "privilege": privilege}}
