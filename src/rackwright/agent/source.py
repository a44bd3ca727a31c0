"""The file of an image as it comes over the network: taken up where it breaks off, and summed up on the way."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

from rackwright.agent.door import Away, Changed
from rackwright.agent.job import Failed, Job, Retry

TRIES = 20
"""Times that a stream which breaks off is taken up again without any progress."""


class Source:
    """An image's file as it comes over the network: bytes, their number and their SHA-256."""

    def __init__(self, job: Job, url: str) -> None:
        self._job, self._url = job, url
        self.got = 0
        self._mark, self._total = "", -1
        self._sum = hashlib.sha256()

    @property
    def sha256(self) -> str:
        """Of all that has come."""
        return self._sum.hexdigest()

    def pieces(self) -> Iterator[bytes]:
        """The file from its beginning to its end. Raises Retry when it cannot be got, Failed when it was changed."""
        failures = 0
        while True:
            before = self.got
            try:
                yield from self._on()
            except Away as error:
                failures = 1 if self.got > before else failures + 1
                if failures > TRIES:
                    raise Retry(f"the image cannot be got: {error}") from None
                self._job.say(f"{error}; going on from byte {self.got}\n")
                if self._job.cancelled.wait(min(10.0, 0.2 * 2**failures)):
                    self._job.check()
            else:
                return

    def _on(self) -> Iterator[bytes]:
        try:
            for piece, total, mark in self._job.door.download(self._url, self.got, self._mark):
                self._job.check()
                self._same(total, mark)
                self._sum.update(piece)
                self.got += len(piece)
                yield piece
        except Changed as error:
            raise Failed(f"the image was changed under way: {error}") from None

    def _same(self, total: int | None, mark: str) -> None:
        if total is not None:
            if self._total not in (-1, total):
                raise Failed(f"the image was changed under way: it had {self._total} bytes and now has {total}")
            self._total = total
        self._mark = mark or self._mark
