"""Policies of this machine: the same bytes in the same order, whoever answers; what dies is replaced, up to a limit."""

from __future__ import annotations

import hashlib
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from rackwright.core.errors import InvalidInput, RackwrightError
from rackwright.engine.serialization.answering import find, squeezed
from rackwright.engine.serialization.flow import Flow
from rackwright.engine.serialization.policy import PolicySettings, Serial, choose
from rackwright.engine.serialization.processes import Answerer, Died, Processes
from tests.integration.dask_cluster import eventually, work_of

CHUNKS = [str(number).encode() for number in range(25)]
SUM = "return hashlib.sha256(setup + chunk).digest()"


def test_processes_give_the_bytes_of_serial_in_the_order_of_the_chunks(tmp_path: Path) -> None:
    work = work_of(tmp_path, "time.sleep(0.02 if chunk == b'0' else 0)\n" + SUM)
    serial = list(Serial(lambda setup, chunk: hashlib.sha256(setup + chunk).digest()).answers(b"setup", CHUNKS))
    assert list(Processes(2, 2, work).answers(b"setup", CHUNKS)) == serial


def test_without_chunks_there_are_no_answers_and_no_process(tmp_path: Path) -> None:
    assert list(Processes(2, 2, work_of(tmp_path, "os.abort()")).answers(b"", [])) == []


def test_chunks_are_pulled_only_when_a_worker_may_hold_one_more(tmp_path: Path) -> None:
    pulled: list[bytes] = []

    def chunks() -> Iterator[bytes]:
        for chunk in CHUNKS:
            pulled.append(chunk)
            yield chunk

    gate = tmp_path / "gate"
    work = work_of(tmp_path, f"while not Path({str(gate)!r}).exists(): time.sleep(0.01)\nreturn chunk")
    given: list[bytes] = []
    reader = Thread(target=lambda: given.extend(Processes(2, 2, work).answers(b"", chunks())))
    reader.start()
    eventually(lambda: len(pulled) >= 2 * 2, "both workers full")
    time.sleep(0.2)
    held = len(pulled)
    gate.touch()
    reader.join()
    assert held == 2 * 2
    assert given == CHUNKS


def test_the_setup_is_sent_once_to_each_process(tmp_path: Path) -> None:
    answerer = Answerer(work_of(tmp_path, "return str(id(setup)).encode()"))
    first, second = answerer.ask(squeezed(b"setup"), b""), answerer.ask(squeezed(b"set" + b"up"), b"")
    answerer.close()
    assert first == second


def test_a_setup_is_made_ready_before_the_first_chunk_and_its_error_waits_for_it(tmp_path: Path) -> None:
    ready, work = tmp_path / "ready", work_of(tmp_path, "return setup + chunk")
    with work.files[0].open("a") as module:
        module.write(f"\n\ndef prepare(setup):\n    Path({str(ready)!r}).touch()\n    raise ValueError(setup)\n")
    answerer = Answerer(work)
    answerer.prepare(squeezed(b"setup"))
    eventually(ready.exists, "the setup is made ready")
    assert answerer.ask(squeezed(b"setup"), b"x") == b"setupx"
    answerer.close()


def test_a_process_that_dies_is_replaced_and_its_chunk_answered(tmp_path: Path) -> None:
    died = tmp_path / "died"
    work = work_of(
        tmp_path,
        f"if chunk == b'7' and not Path({str(died)!r}).exists():\n"
        f"    Path({str(died)!r}).touch()\n    os.kill(os.getpid(), signal.SIGKILL)\nreturn chunk",
    )
    assert list(Processes(2, 2, work).answers(b"", CHUNKS)) == CHUNKS
    assert died.exists()


def test_a_chunk_of_which_every_process_dies_is_an_error_that_names_it(tmp_path: Path) -> None:
    work = work_of(tmp_path, "if chunk == b'7':\n    os.kill(os.getpid(), signal.SIGKILL)\nreturn chunk")
    with pytest.raises(RackwrightError, match=r"chunk 8 \(1 bytes\): 4 workers died .* SIGKILL"):
        list(Processes(2, 2, work).answers(b"", CHUNKS))


def test_a_failing_function_is_an_error_with_its_words(tmp_path: Path) -> None:
    with pytest.raises(RackwrightError, match="ValueError: no good"):
        list(Processes(1, 2, work_of(tmp_path, "raise ValueError('no good')")).answers(b"", CHUNKS))


def test_a_process_that_cannot_start_is_an_error_and_not_a_chunk_that_kills(tmp_path: Path) -> None:
    work = work_of(tmp_path, "return chunk")
    work.files[0].write_text("import nothing_of_that_name\n")
    with pytest.raises(RackwrightError, match="does not start: exit code 1"):
        list(Processes(1, 2, work).answers(b"", CHUNKS))


def test_what_is_printed_is_not_taken_for_an_answer(tmp_path: Path) -> None:
    work = work_of(tmp_path, "print('hello', flush=True)\nos.system('echo hello')\nreturn chunk")
    assert list(Processes(1, 2, work).answers(b"", CHUNKS[:2])) == CHUNKS[:2]


def test_an_iterator_that_is_left_leaves_no_process(tmp_path: Path) -> None:
    answers = Processes(2, 2, work_of(tmp_path, "return str(os.getpid()).encode()")).answers(b"", CHUNKS)
    pid = int(next(answers))
    assert Path(f"/proc/{pid}").exists()
    answers.close()
    assert not Path(f"/proc/{pid}").exists()


def test_a_killed_process_says_how_it_died(tmp_path: Path) -> None:
    answerer = Answerer(work_of(tmp_path, "return chunk"))
    os.kill(answerer.pid, signal.SIGKILL)
    with pytest.raises(Died, match="killed by SIGKILL"):
        answerer.ask(squeezed(b""), b"x")


def test_chunks_that_came_back_go_out_first() -> None:
    flow = Flow([b"a", b"b", b"c"], deaths=0)
    first, second = flow.take(), flow.take()
    assert first is not None
    assert second is not None
    flow.back(first)
    assert flow.take() is first
    flow.answered(second, b"B")
    assert flow.pop() is None
    flow.answered(first, b"A")
    assert [flow.pop(), flow.pop(), flow.pop()] == [b"A", b"B", None]
    assert not flow.finished


@pytest.mark.parametrize(
    ("instances", "other", "name"),
    [
        (10, {}, "serial"),
        (50_000, {}, "processes"),
        (50_000, {"processes": 1}, "serial"),
        (500_000, {}, "processes"),
        (500_000, {"scheduler": "tls://127.0.0.1:1"}, "dask"),
        (50_000, {"scheduler": "tls://127.0.0.1:1"}, "processes"),
        (10, {"policy": "processes"}, "processes"),
        (10, {"policy": "dask", "scheduler": "tls://127.0.0.1:1"}, "dask"),
        (500_000, {"policy": "serial", "scheduler": "tls://127.0.0.1:1"}, "serial"),
    ],
)
def test_the_policy_is_chosen_by_setting_or_by_size(instances: int, other: dict[str, Any], name: str) -> None:
    settings: dict[str, Any] = {"processes": 2, **other}
    assert choose(instances, PolicySettings(**settings)).name == name


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"policy": "magic"}, "no policy 'magic'"),
        ({"policy": "dask"}, "needs a scheduler"),
        ({"load_coefficient": 0}, "load"),
    ],
)
def test_settings_that_make_no_sense_are_refused(wrong: dict[str, Any], words: str) -> None:
    with pytest.raises(InvalidInput, match=words):
        choose(10, PolicySettings(**wrong))


def test_the_function_of_the_product_can_be_found() -> None:
    assert callable(find("rackwright.engine.serialization.work:answer"))
