from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as some

from rackwright.core.errors import NotAllowed, Permanent, Retryable
from rackwright.core.jig import Outcome, Work, check_facts, folder_name
from rackwright.core.messages import Claim
from rackwright.drivers.jig.ready import Check
from rackwright.drivers.jig.script import interpreter
from rackwright.drivers.jig.service_spec import ServiceParameters, resolve_service, service_facts
from rackwright.drivers.jig.surroundings import input_variables
from rackwright.rack import client
from rackwright.rack.client import patiently


def work(**more: Any) -> Work:
    values: dict[str, Any] = {
        "id": 1, "attempt": 1, "revision": 1, "deployment": "dev", "task": "nats", "scope": "n1",
        "address": "127.0.0.7", "jig": "service", "timeout": 1.0,
    }  # fmt: skip
    return Work(claim=Claim(**values | more), rack="r1", folder="/w", state="/s", log="/l")


class TestFolderNames:
    @given(some.text(min_size=1))
    def test_any_name_becomes_one_visible_plain_file_name(self, name: str) -> None:
        folder = folder_name(name.encode("utf-8", "replace").decode())
        assert not {"/", "\0"} & set(folder)
        assert not folder.startswith(".")

    @given(some.sets(some.text("ab./%", min_size=1)))
    def test_two_names_never_share_a_folder(self, names: set[str]) -> None:
        assert len({folder_name(name) for name in names}) == len(names)

    def test_usual_names_stay_as_they_are(self) -> None:
        assert folder_name("nats-1.rack_2") == "nats-1.rack_2"


class TestFacts:
    def test_declared_facts_are_fine(self) -> None:
        assert not check_facts(Outcome(facts={"a.b": 1}), work(writes=("a.b", "a.c")).claim)

    def test_an_undeclared_fact_is_named_with_its_task(self) -> None:
        fault = check_facts(Outcome(facts={"a.b": 1, "x": 2}), work(writes=("a.b",)).claim)
        assert "x (declared: a.b)" in fault
        assert "task nats" in fault


class TestVariables:
    def test_only_scalars_become_variables(self) -> None:
        inputs = {"port": 1, "ratio": 1.5, "on": False, "a-b": "x", "none": None, "list": [], "map": {}, "nul": "\0"}
        assert input_variables(inputs) == {"PORT": "1", "RATIO": "1.5", "ON": "false", "A_B": "x"}

    def test_what_the_kernel_would_refuse_is_left_out(self) -> None:
        assert input_variables({"big": "x" * 200_000}) == {}

    @pytest.mark.parametrize(
        ("text", "words"),
        [
            ("#!/bin/bash\n", ["/bin/bash"]),
            ("#! /usr/bin/env  python3 -u\n", ["/usr/bin/env", "python3 -u"]),
            ("echo\n", ["/bin/sh"]),
            ("#!\n", ["/bin/sh"]),
            ("#!/bin/sh\r\n", ["/bin/sh\r"]),
        ],
    )
    def test_the_interpreter_is_read_as_the_kernel_reads_it(self, text: str, words: list[str]) -> None:
        assert interpreter(text) == words


class TestServices:
    def resolve(self, given: ServiceParameters, **more: Any) -> tuple[list[str], str, Check]:
        spec, check = resolve_service(given, work(**more), "/jig/nats")
        return spec.words, spec.digest, check

    def test_placeholders_are_replaced_everywhere(self) -> None:
        given = ServiceParameters(
            command=["x", "${STATE}/c", "${FILES}/f", "${ADDRESS}:${NODE}", "${OTHER}", 7],
            ready=Check(http="http://${ADDRESS}/"),
        )
        words, _, check = self.resolve(given)
        assert words == ["x", "/s/c", "/jig/nats/files/f", "127.0.0.7:n1", "${OTHER}", "7"]
        assert check.http == "http://127.0.0.7/"

    def test_the_digest_changes_with_command_environment_and_files_only(self) -> None:
        given = ServiceParameters(command=["x"])
        same = self.resolve(given)[1]
        assert self.resolve(given, attempt=2, revision=9, inputs={"a": 1})[1] == same
        others = {
            self.resolve(ServiceParameters(command=["y"]))[1],
            self.resolve(ServiceParameters(command=["x"], env={"A": "1"}))[1],
            self.resolve(given, files={"f": "one"})[1],
            self.resolve(given, files={"f": "two"})[1],
        }
        assert len(others | {same}) == 5

    def test_its_digest_is_a_fact_only_where_the_task_declares_it(self) -> None:
        given = ServiceParameters(command=["x"], facts={"a": 1})
        for writes, paths in (((), {"a"}), (("service.nats.digest",), {"a", "service.nats.digest"})):
            at_work = work(writes=writes)
            spec, _ = resolve_service(given, at_work, "/jig/nats")
            assert set(service_facts(given, spec, at_work)) == paths

    @pytest.mark.parametrize(
        ("given", "reason"),
        [
            (ServiceParameters(), "no command"),
            (ServiceParameters(command=["x"], stop_signal="NONE"), "no signal 'NONE'"),
            (
                ServiceParameters(command=["x"], files=["${STATE}/absent"]),
                "/s/absent: the service's file cannot be read",
            ),
        ],
    )
    def test_parameters_that_make_no_sense_are_refused(self, given: ServiceParameters, reason: str) -> None:
        with pytest.raises(Permanent, match=reason):
            self.resolve(given)


class TestPatience:
    async def test_it_asks_until_it_works(self, monkeypatch: pytest.MonkeyPatch) -> None:
        pauses: list[float] = []

        async def no_sleep(seconds: float) -> None:
            pauses.append(seconds)

        failures = iter([Retryable("away"), Retryable("busy", after=9.0), *[Retryable("away")] * 10])

        async def ask() -> str:
            for failure in failures:
                raise failure
            return "yes"

        monkeypatch.setattr("rackwright.rack.client.asyncio.sleep", no_sleep)
        assert await patiently("work", ask) == "yes"
        assert len(pauses) == 12
        assert pauses[1] == 9.0
        assert pauses[0] <= client.first_pause
        assert all(client.longest_pause / 2 <= pause <= client.longest_pause for pause in pauses[-3:])

    async def test_a_refusal_passes_at_once(self) -> None:
        async def ask() -> str:
            raise NotAllowed("no")

        with pytest.raises(NotAllowed):
            await patiently("work", ask)
