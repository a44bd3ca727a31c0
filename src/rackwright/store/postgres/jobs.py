"""Jobs in PostgreSQL, in the tables of the job engine; asked for in the caller's transaction."""

from __future__ import annotations

import time

from rackwright.core.errors import Conflict
from rackwright.core.jobs import Job, JobRecord, JobState
from rackwright.store.postgres.work import Work
from rackwright.store.refusals import unknown


class JobWork(Work):
    """The part of a transaction that is about jobs."""

    async def defer(self, job: Job) -> int | None:
        """See the port."""
        id = await self.value("defer_job", job.kind, job.arguments, job.lock, job.queueing_lock, job.not_before)
        return None if id is None else int(id)

    async def jobs(self, *, state: JobState | None = None, after: int = 0, limit: int = 1000) -> list[JobRecord]:
        """See the port."""
        return [
            JobRecord(
                id=row[0], kind=row[1], arguments=row[2], state=row[3], attempts=row[4], lock=row[5],
                queueing_lock=row[6], not_before=row[7], changed_at=row[8],
            )
            for row in await self.rows("jobs", after, state, limit)
        ]  # fmt: skip

    async def retry_job(self, id: int, not_before: float | None = None) -> None:
        """See the port."""
        await self._must_be(id, "failed", "only one that failed can run again")
        await self.run("retry_job", id, time.time() if not_before is None else not_before)

    async def cancel_job(self, id: int) -> None:
        """See the port."""
        await self._must_be(id, "todo", "only one that waits can be cancelled")
        await self.run("cancel_job", id)

    async def recover_jobs(self, silent: float, most: int) -> tuple[int, int]:
        """See the port."""
        again = given_up = 0
        for id, attempts, replaced in await self.rows("stalled_jobs", silent):
            if replaced:
                await self.run("drop_job", id)
            elif attempts + 1 < most:
                await self.run("retry_job", id, time.time())
                again += 1
            else:
                await self.run("fail_job", id)
                given_up += 1
        return again, given_up

    async def forget_jobs(self, before: float) -> int:
        """See the port."""
        return len(await self.rows("forget_jobs", before))

    async def _must_be(self, id: int, state: str, mend: str) -> None:
        found = await self.value("lock_job", id)
        if found is None:
            raise unknown("job", id)
        if found != state:
            raise Conflict(f"job {id} is {found}", where=f"job {id}", mend=mend)
