"""The agent's life: register, poll, work, and begin again whenever the rack forgot it."""

from __future__ import annotations

import os
import random
import threading
import time
from collections.abc import Callable
from typing import Any

from rackwright import __version__
from rackwright.agent import inventory
from rackwright.agent.actions import ACTIONS
from rackwright.agent.courier import Courier
from rackwright.agent.door import Away, Door, Refused
from rackwright.agent.job import Cancelled, Failed, Job, Retry
from rackwright.agent.settings import Settings
from rackwright.agent.spool import Attempt, Spool

FAR_OFF = {"discovery": 2.0, "rescue": 2.0, "memory": 2.0, "installed": 3600.0}
"""Seconds by which a clock may differ from the rack's before it is set: an installed system has its own way to keep
time, but a machine whose battery is empty starts in 1970."""
LOOK_AGAIN = 600.0
"""Seconds between inventories."""
SHORTEST, LONGEST = 1.0, 30.0
"""Seconds between tries to reach the rack."""
_RUNS_FOR_GOOD = ("installed", "memory")


class Agent:
    """One agent. ``look`` takes the inventory, ``set_clock`` sets the machine's clock to a time in seconds."""

    def __init__(
        self,
        settings: Settings,
        folder: str,
        look: Callable[[], dict[str, Any]] = inventory.take,
        set_clock: Callable[[float], None] | None = None,
        tell: Callable[[str], None] = lambda text: None,
        let_in: Callable[[str], bool] = lambda key: False,
    ) -> None:
        self._settings, self._look, self._tell = settings, look, tell
        self._set_clock = set_clock or (lambda now: time.clock_settime(time.CLOCK_REALTIME, now))
        self._admit = let_in
        self._door = Door(settings.door, settings.token)
        self._spool = Spool(folder)
        self._courier = Courier(self._door, self._spool, self._taken)
        self._jobs: dict[Attempt, Job] = {}
        self._after: dict[Attempt, Callable[[], None]] = {}
        self._guard = threading.Lock()
        self._stopping = threading.Event()
        self._heartbeat = 10.0
        self._inventory: dict[str, Any] = {}
        self._looked = 0.0
        self._facts: dict[str, Any] = {}
        self._boot_id = ""

    def run(self) -> None:
        """Live until ``stop``."""
        self._own_up()
        threading.Thread(target=self._courier.run, name="courier", daemon=True).start()
        wait = SHORTEST
        while not self._stopping.is_set():
            try:
                self.register()
                wait = SHORTEST
                self._live()
            except (Away, Refused) as error:
                self._tell(f"no rack yet, next try in {wait:.0f} s: {error}")
                self._stopping.wait(wait * random.uniform(0.7, 1.3))
                wait = min(LONGEST, wait * 1.5)
        self._courier.stop()

    def stop(self) -> None:
        """End soon; what is under way is cancelled."""
        self._stopping.set()
        with self._guard:
            for job in self._jobs.values():
                job.cancelled.set()

    def register(self) -> None:
        """Tell the rack who the machine is. Raises Away or Refused."""
        settings = self._settings
        self._inventory, self._looked = self._look(), time.monotonic()
        identity = inventory.identity(boot_mac=settings.mac)
        self._boot_id = identity["boot_id"]
        if settings.system in _RUNS_FOR_GOOD:
            self._let_in()
            self._phone_home()
        answer = self._door.post(
            "/agent/register",
            {
                **identity,
                "system": settings.system,
                "request": settings.request,
                "version": __version__,
                "clock": time.time(),
                "inventory": self._inventory,
            },
        )
        self._door.token = str(answer.get("token") or self._door.token)
        self._heartbeat = float(answer.get("heartbeat") or 10.0)
        self._adjust_clock(float(answer.get("clock") or 0.0))
        self._tell(f"registered as {answer.get('node', 'unknown')}")

    def poll(self) -> None:
        """Ask for work once, and begin it. Raises Away or Refused."""
        facts = self._seen()
        with self._guard:
            running = [list(attempt) for attempt in self._jobs]
        body = {"boot_id": self._boot_id, "running": running, "wait": self._heartbeat, "facts": facts}
        try:
            work = self._door.post("/agent/poll", body, timeout=self._heartbeat + 15.0)
        except (Away, Refused):
            with self._guard:
                self._facts = {**facts, **self._facts}
            raise
        for id, attempt in work.get("cancel") or ():
            self._cancel((int(id), int(attempt)))
        for task in work.get("tasks") or ():
            self._begin(task)

    def see(self, facts: dict[str, Any]) -> None:
        """Have facts, by path below ``observed``, told with the next poll."""
        with self._guard:
            self._facts |= facts

    def _live(self) -> None:
        """Poll until the rack is away for long, or no longer knows the machine."""
        failures = 0
        while not self._stopping.is_set():
            try:
                self.poll()
                failures = 0
            except Away as error:
                failures += 1
                self._tell(f"the rack is away: {error}")
                self._stopping.wait(min(LONGEST, SHORTEST * 2**failures) * random.uniform(0.7, 1.3))
            except Refused as refused:
                if refused.status in (401, 403, 404, 410):
                    raise
                self._tell(str(refused))
                self._stopping.wait(self._heartbeat)

    def _own_up(self) -> None:
        """What was under way when a former agent of this machine ended will not end by itself."""
        for attempt in self._spool.attempts():
            if self._spool.result(attempt) is None:
                self._spool.end(attempt, _result("retryable", "the agent was restarted while it ran"))

    def _let_in(self) -> None:
        """Let the rack sign in on this system as root, before it hears that the system is there."""
        try:
            key = str(self._door.post("/agent/key", {}).get("key", "")).strip()
        except Refused as refused:
            self._tell(f"the rack tells no key of its own: {refused}")
            return
        try:
            if key and self._admit(key):
                self._tell("the rack may sign in here now")
        except OSError as error:
            self._tell(f"the rack's key could not be kept: {error}")

    def _phone_home(self) -> None:
        said = {
            "request": self._settings.request,
            "hostname": os.uname().nodename,
            "boot_id": self._boot_id,
            "ssh_host_keys": inventory.host_keys(),
            "os": inventory.system(),
        }
        try:
            self._door.post("/agent/home", said)
        except Refused as refused:
            if refused.status in (401, 403):
                raise
            self._tell(f"the rack does not want to hear of this system: {refused}")

    def _adjust_clock(self, rack: float) -> None:
        off = rack - time.time()
        if rack and abs(off) > FAR_OFF[self._settings.system]:
            try:
                self._set_clock(rack)
                self._tell(f"the clock was {abs(off):.0f} s off and was set")
            except OSError as error:
                self._tell(f"the clock is {abs(off):.0f} s off and cannot be set: {error.strerror}")

    def _seen(self) -> dict[str, Any]:
        """What is to be told now; a new inventory is taken from time to time."""
        if time.monotonic() - self._looked > LOOK_AGAIN:
            self.look_again()
        with self._guard:
            facts, self._facts = self._facts, {}
        return facts

    def look_again(self) -> None:
        """Take the inventory now; what differs from the last one is told."""
        now = self._look()
        self.see(inventory.drift(self._inventory, now))
        self._inventory, self._looked = now, time.monotonic()

    def _begin(self, task: dict[str, Any]) -> None:
        attempt = (int(task["id"]), int(task["attempt"]))
        if self._spool.knows(attempt):
            with self._guard:
                runs = attempt in self._jobs
            if not runs:
                self._spool.give_again(attempt)
                self._courier.wake()
            return
        job = Job(
            parameters=task.get("parameters") or {},
            folder=self._spool.place(attempt),
            say=lambda text: self._say(attempt, text),
            door=self._door,
            files=task.get("files") or {},
            timeout=float(task.get("timeout") or 600.0),
        )
        with self._guard:
            self._jobs[attempt] = job
        action = str(task.get("action"))
        self._tell(f"task {attempt[0]}, attempt {attempt[1]}: {action}")
        threading.Thread(target=self._work, args=(attempt, action, job), daemon=True).start()

    def _work(self, attempt: Attempt, action: str, job: Job) -> None:
        try:
            if action == "inventory":
                self.look_again()
                self.see({f"inventory.{part}": value for part, value in self._inventory.items()})
                result = _result("ok")
            else:
                result = _carried_out(action, job)
        finally:
            with self._guard:
                ended = self._jobs.pop(attempt)
        self._spool.end(attempt, result)
        if ended.afterwards is not None and result["outcome"] == "ok":
            with self._guard:
                self._after[attempt] = ended.afterwards
        self._courier.wake()

    def _say(self, attempt: Attempt, text: str) -> None:
        self._spool.say(attempt, text)
        self._courier.wake()

    def _cancel(self, attempt: Attempt) -> None:
        with self._guard:
            job = self._jobs.get(attempt)
        if job is not None:
            job.cancelled.set()

    def _taken(self, attempt: Attempt) -> None:
        with self._guard:
            after = self._after.pop(attempt, None)
        if after is not None:
            after()


def _carried_out(action: str, job: Job) -> dict[str, Any]:
    """The result of one action, whatever becomes of it."""
    act = ACTIONS.get(action)
    if act is None:
        return _result("failed", f"this agent knows no action {action!r}; it knows: {', '.join(sorted(ACTIONS))}")
    try:
        return _result("ok", facts=act(job))
    except Failed as error:
        return _result("failed", str(error))
    except (Retry, Away) as error:
        return _result("retryable", str(error))
    except Refused as error:
        return _result("failed", str(error))
    except Cancelled:
        return _result("failed", "it was cancelled")
    except Exception as error:  # An action's own fault must not end the agent.
        return _result("failed", f"the agent is at fault: {type(error).__name__}: {error}")


def _result(outcome: str, reason: str = "", facts: dict[str, Any] | None = None) -> dict[str, Any]:
    return {"outcome": outcome, "reason": reason, "facts": facts or {}}
