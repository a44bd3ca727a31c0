"""Jobs in memory: they can be asked for, looked at and cancelled; nobody carries them out."""

from __future__ import annotations

import time

import msgspec

from rackwright.core.errors import Conflict
from rackwright.core.jobs import Job, JobRecord, JobState
from rackwright.store.memory.work import Work
from rackwright.store.refusals import unknown


class JobWork(Work):
    """The part of a transaction that is about jobs."""

    async def defer(self, job: Job) -> int | None:
        """See the port."""
        waiting = [each for each in self.tables.jobs.values() if each.state == "todo"]
        if job.queueing_lock is not None and any(each.queueing_lock == job.queueing_lock for each in waiting):
            return None
        id = self.tables.fresh_id()
        self.tables.jobs[id] = JobRecord(
            id=id, kind=job.kind, arguments=job.arguments, state="todo", attempts=0, lock=job.lock,
            queueing_lock=job.queueing_lock, not_before=job.not_before, changed_at=time.time(),
        )  # fmt: skip
        return id

    async def jobs(self, *, state: JobState | None = None, after: int = 0, limit: int = 1000) -> list[JobRecord]:
        """See the port."""
        found = [job for _, job in sorted(self.tables.jobs.items()) if state is None or job.state == state]
        return [job for job in found if job.id > after][:limit]

    async def retry_job(self, id: int, not_before: float | None = None) -> None:
        """See the port."""
        job = self._must_be(id, "failed", "only one that failed can run again")
        again = msgspec.structs.replace(job, state="todo", not_before=not_before, attempts=job.attempts + 1)
        self.tables.jobs[id] = again

    async def cancel_job(self, id: int) -> None:
        """See the port."""
        job = self._must_be(id, "todo", "only one that waits can be cancelled")
        self.tables.jobs[id] = msgspec.structs.replace(job, state="cancelled", changed_at=time.time())

    async def recover_jobs(self, silent: float, most: int) -> tuple[int, int]:
        """See the port."""
        return 0, 0

    async def forget_jobs(self, before: float) -> int:
        """See the port."""
        old = [
            job.id
            for job in self.tables.jobs.values()
            if job.state not in ("todo", "doing") and (job.changed_at or 0.0) < before
        ]
        for id in old:
            del self.tables.jobs[id]
        return len(old)

    def _must_be(self, id: int, state: str, mend: str) -> JobRecord:
        job = self.tables.jobs.get(id)
        if job is None:
            raise unknown("job", id)
        if job.state != state:
            raise Conflict(f"job {id} is {job.state}", where=f"job {id}", mend=mend)
        return job
