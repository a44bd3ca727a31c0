"""What simulated racks would give to threads is done at once."""

from __future__ import annotations

import asyncio
import threading

import pytest

from rackwright.commands.sim_executor import AtOnce


async def test_work_is_done_in_the_thread_of_the_loop_before_anything_else() -> None:
    asyncio.get_running_loop().set_default_executor(AtOnce())
    done: list[int] = []
    giving = asyncio.create_task(asyncio.to_thread(lambda: done.append(threading.get_ident())))
    await asyncio.sleep(0)
    assert done == [threading.get_ident()]
    await giving


async def test_an_error_comes_where_the_work_is_awaited() -> None:
    asyncio.get_running_loop().set_default_executor(AtOnce())
    with pytest.raises(ZeroDivisionError):
        await asyncio.to_thread(lambda: 1 // 0)
