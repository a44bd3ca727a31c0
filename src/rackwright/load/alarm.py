"""Waiting to an exact moment: a loop's own timers go by whole milliseconds, a timer descriptor of Linux does not."""

from __future__ import annotations

import asyncio
import ctypes
import os
import time

_MONOTONIC = 1
_NONBLOCK = 0o4000
_CLOEXEC = 0o2000000
_ABSOLUTE = 1
_SOON = 2e-5
"""Seconds that are shorter than setting the timer."""

_libc = ctypes.CDLL(None, use_errno=True)


class _Moment(ctypes.Structure):
    _fields_ = (("seconds", ctypes.c_long), ("nanoseconds", ctypes.c_long))


class _Setting(ctypes.Structure):
    _fields_ = (("interval", _Moment), ("value", _Moment))


class Alarm:
    """Wakes one coroutine at moments of ``time.monotonic``; see timerfd_create(2)."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._rings: asyncio.Future[None] | None = None
        self._descriptor = int(_libc.timerfd_create(_MONOTONIC, _NONBLOCK | _CLOEXEC))
        if self._descriptor < 0:
            raise OSError(ctypes.get_errno(), "no timer could be made")
        self._loop.add_reader(self._descriptor, self._expire)

    async def until(self, moment: float) -> None:
        """Wait until a moment; at least one turn of the loop."""
        if moment - time.monotonic() < _SOON:
            await asyncio.sleep(0)
            return
        self._rings = self._loop.create_future()
        whole = int(moment)
        setting = _Setting(value=_Moment(whole, int((moment - whole) * 1e9)))
        _libc.timerfd_settime(self._descriptor, _ABSOLUTE, ctypes.byref(setting), None)
        await self._rings

    def ring(self) -> None:
        """Wake the one who waits at once."""
        if self._rings is not None and not self._rings.done():
            self._rings.set_result(None)

    def close(self) -> None:
        """Give the timer back."""
        self._loop.remove_reader(self._descriptor)
        os.close(self._descriptor)

    def _expire(self) -> None:
        try:
            os.read(self._descriptor, 8)
        except BlockingIOError:
            return
        self.ring()
