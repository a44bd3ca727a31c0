"""Chunks on their way: pulled one by one, given out, taken back from lost workers, answered in order."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field

from rackwright.core.errors import RackwrightError


@dataclass(eq=False)
class Job:
    """A chunk to answer: its number in the order of chunks, and how workers died of it."""

    number: int
    chunk: bytes
    deaths: list[str] = field(default_factory=list)


class Flow:
    """The chunks of one run. Chunks are pulled when asked for; answers come out in the order of the chunks. A chunk
    of which more than ``deaths`` workers died is an error."""

    def __init__(self, chunks: Iterable[bytes], deaths: int) -> None:
        self._source = iter(chunks)
        self._deaths = deaths
        self._pulled = 0
        self._exhausted = False
        self._returned: deque[Job] = deque()
        self._answers: dict[int, bytes] = {}
        self._given = 0

    def take(self) -> Job | None:
        """Give the next chunk to work on, those that came back first; None when there is none at present."""
        if self._returned:
            return self._returned.popleft()
        if self._exhausted:
            return None
        try:
            chunk = next(self._source)
        except StopIteration:
            self._exhausted = True
            return None
        self._pulled += 1
        return Job(self._pulled - 1, chunk)

    def back(self, job: Job) -> None:
        """Take a chunk back that was not answered, and not through its own fault."""
        self._returned.append(job)

    def died(self, job: Job, how: str) -> None:
        """Take a chunk back whose worker died of it. Raises RackwrightError when too many did."""
        job.deaths.append(how)
        if len(job.deaths) > self._deaths:
            raise RackwrightError(
                f"{len(job.deaths)} workers died one after the other of the same chunk: {'; '.join(job.deaths)}",
                where=f"chunk {job.number + 1} ({len(job.chunk)} bytes)",
                mend="look at the logs and the memory of the workers",
            )
        self.back(job)

    def answered(self, job: Job, answer: bytes) -> None:
        """Note the answer to a chunk."""
        self._answers[job.number] = answer

    def pop(self) -> bytes | None:
        """Give the answer whose turn it is; None while it is not there."""
        answer = self._answers.pop(self._given, None)
        if answer is not None:
            self._given += 1
        return answer

    @property
    def finished(self) -> bool:
        """Whether all chunks have been pulled and all answers have been given."""
        return self._exhausted and self._given == self._pulled
