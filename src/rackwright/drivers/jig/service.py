"""The jig that keeps a process running: the task is done once the process is ready, and the process stays.

It lives as long as its rack wants it: it is restarted when it ends, taken over when the rack itself was killed, and
stopped when the rack stops in order.
"""

from __future__ import annotations

import asyncio
import glob
import os
import shutil
from collections import defaultdict

import msgspec
import structlog

from rackwright.core.errors import DriverError, Permanent
from rackwright.core.jig import Outcome, Work, folder_name
from rackwright.drivers.jig import surroundings
from rackwright.drivers.jig.capture import last_lines, say
from rackwright.drivers.jig.ready import Check, between_tries, passes
from rackwright.drivers.jig.service_spec import ServiceParameters, resolve_service, service_facts
from rackwright.drivers.jig.supervised import Record, Spec, Supervised

stop_time = 10.0
"""Seconds between the stop signal and the end by force."""

hopeless = 3
"""Deaths before it was ever ready, after which waiting longer makes no sense."""

settling = 0.3
"""Seconds that a process must live to count as ready."""

log = structlog.get_logger()


class ServiceJig:
    """Keeps services; each has a folder below ``folder``, by deployment, scope and task."""

    def __init__(self, folder: str) -> None:
        self.folder = folder
        self._services: dict[str, Supervised] = {}
        self._turns: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        """One at a time may change a service: a claim, or the news that nobody wants it."""

    async def open(self) -> None:
        """Take over the services of a former process of this rack; start those that run no more."""
        for path in sorted(glob.glob(os.path.join(glob.escape(self.folder), "*", "*", "*", "service.json"))):
            try:
                service = Supervised.load(os.path.dirname(path))
            except (OSError, msgspec.DecodeError) as error:
                log.error("service record cannot be read", path=path, reason=str(error))
                continue
            adopted = await service.begin()
            self._services[service.folder] = service
            log.info("service adopted" if adopted else "service started", folder=service.folder, pid=service.pid)

    async def run(self, work: Work) -> Outcome:
        """Bring one service to the wanted state; where nothing changed, only see that it is ready."""
        given = surroundings.parameters_as(ServiceParameters, work)
        claim = work.claim
        names = (claim.deployment, claim.scope, claim.task)
        folder = os.path.join(self.folder, *(folder_name(name) for name in names))
        async with self._turns[folder]:
            return await self._bring(folder, given, work)

    def kept(self) -> list[int]:
        """The node tasks whose services are kept."""
        return [service.record.node_task for service in self._services.values() if service.record.node_task]

    async def drop(self, ids: list[int]) -> None:
        """Stop and forget the services of these node tasks."""
        for folder, service in list(self._services.items()):
            if service.record.node_task in ids:
                async with self._turns[folder]:
                    if self._services.get(folder) is service and service.record.node_task in ids:
                        log.info("service dropped: no deployment wants it", folder=folder)
                        await self._remove(folder)

    async def _bring(self, folder: str, given: ServiceParameters, work: Work) -> Outcome:
        if given.state == "stopped":
            await self._remove(folder)
            say(work.log, "stopped")
            return Outcome()
        spec, check = resolve_service(given, work, folder)
        service = self._services.get(folder)
        if service is not None and service.pid is not None and service.record.spec.digest == spec.digest:
            say(work.log, f"nothing changed; it runs as process {service.pid}")
            service.belong_to(work.claim.id)
            await _until_ready(service, check, work)
        else:
            await self._start(folder, spec, check, work)
        return Outcome(facts=service_facts(given, spec, work))

    async def close(self, grace: float) -> None:
        """Stop all services; their records stay, so the rack's next start brings them back."""
        services = list(self._services.values())
        await asyncio.gather(*(service.stop(grace) for service in services))
        self._services.clear()

    async def _start(self, folder: str, spec: Spec, check: Check, work: Work) -> None:
        """Replace what runs by what shall run. What never becomes ready is ended again."""
        await self._remove(folder)
        await _port_must_be_free(check, work)
        files = os.path.join(folder, "files")
        shutil.rmtree(files, ignore_errors=True)
        os.makedirs(files, mode=0o700)
        surroundings.write_files(work.claim.files, files)
        service = self._services[folder] = Supervised(folder, Record(spec, node_task=work.claim.id))
        since = service.log_size
        await service.begin()
        try:
            say(work.log, f"started as process {service.pid}")
            await _until_ready(service, check, work, since)
        except DriverError:
            await self._remove(folder)
            raise

    async def _remove(self, folder: str) -> None:
        service = self._services.get(folder)
        if service is None:
            return
        try:
            await service.stop(stop_time)
        finally:
            del self._services[folder]
            service.forget()


async def _port_must_be_free(check: Check, work: Work) -> None:
    """Another program that answers on the port would pass for the service."""
    if check.tcp is not None and await passes(check, work.claim.address):
        what = f"port {check.tcp} of {work.claim.address} is already taken by another program"
        raise Permanent(what, mend="end that program, or give the service another port")


async def _until_ready(service: Supervised, check: Check, work: Work, since: int = 0) -> None:
    """Wait until the process has passed its check; raises when it dies too often, or takes too long."""
    clock = asyncio.get_running_loop().time
    began, deaths = clock(), service.deaths
    while True:
        pid = service.pid
        if (
            pid is not None
            and await passes(check, work.claim.address)
            and clock() - began >= settling
            and service.pid == pid
        ):
            say(work.log, f"ready ({check}) after {clock() - began:.1f} s")
            return
        if service.deaths - deaths >= hopeless:
            raise _not_ready(f"it ended {hopeless} times before it was ready; {service.last_end}", service, since)
        if clock() - began > work.claim.timeout:
            what = f"it was not ready ({check}) within its timeout of {work.claim.timeout:g} s"
            raise _not_ready(what, service, since)
        await asyncio.sleep(between_tries)


def _not_ready(what: str, service: Supervised, since: int) -> Permanent:
    said = last_lines(service.log_path, since)
    last = f"; it last said: {said}" if said else "; it said nothing"
    mend = f"see {service.log_path} on the rack; raise the task's `timeout` if it needs longer"
    return Permanent(f"{what}{last}", mend=mend)
