from __future__ import annotations

import asyncio
import os
import resource
import signal
import socket
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from rackwright.commands.demo_ground import free_port
from rackwright.core.errors import Permanent, Retryable
from rackwright.core.jig import Jig, Outcome, Wait
from rackwright.drivers.jig.noop import NoopJig
from rackwright.drivers.jig.script import ScriptJig
from rackwright.drivers.jig.service import ServiceJig
from tests.integration.jig_conformance import JigConformance, make_work, processes_below

answering = """
import http.server, os, sys
print("begins with", os.environ.get("WORD"), flush=True)
http.server.HTTPServer((sys.argv[1], int(sys.argv[2])), http.server.SimpleHTTPRequestHandler).serve_forever()
"""
"""A small server: address, port."""


def server(port: int, **more: Any) -> dict[str, Any]:
    return {"command": ["python", "-c", answering, "${ADDRESS}", port], "ready": {"tcp": port}} | more


async def until(what: Any) -> None:
    """Wait until ``what()`` is true."""
    async with asyncio.timeout(60):
        while not what():
            await asyncio.sleep(0.02)


class TestNoop(JigConformance):
    good = {"facts": {"done": "yes"}}
    bad = {"fail": "it was told to fail"}
    slow = {"delay": 60}

    @pytest.fixture
    async def jig(self, tmp_path: Path) -> Jig:
        return NoopJig(str(tmp_path))


class TestScript(JigConformance):
    good = {"script": "#!/bin/sh\necho done=yes > $RACKWRIGHT_OUTPUT\n"}
    bad = {"script": "#!/bin/sh\necho this went wrong; exit 1\n"}
    slow = {"script": "#!/bin/sh\nsleep 60 & setsid sleep 61 & sleep 62\n"}

    @pytest.fixture
    async def jig(self, tmp_path: Path) -> AsyncIterator[Jig]:
        jig = ScriptJig(str(tmp_path / "jig"))
        await jig.open()
        yield jig
        assert processes_below(tmp_path) == []
        assert os.listdir(jig.folder) == []

    async def run(self, jig: Jig, tmp_path: Path, script: str, **claim: Any) -> Outcome:
        more = claim.pop("parameters", {})
        return await jig.run(make_work(tmp_path, {"script": script} | more, **claim))

    @pytest.mark.parametrize(
        ("said", "wait"),
        [
            ("parked=90 waits for the reboot", Wait(until=90, reason="waits for the reboot")),
            ("""{"parked": {"until": 5, "until_fact": {"observed.os": "x"}}}""",
             Wait(until=5, until_fact={"observed.os": "x"})),
        ],
    )  # fmt: skip
    async def test_a_script_may_say_that_it_goes_on_by_itself(
        self, jig: Jig, tmp_path: Path, said: str, wait: Wait
    ) -> None:
        outcome = await self.run(jig, tmp_path, f"#!/bin/sh\necho '{said}' > $RACKWRIGHT_OUTPUT\n")
        assert (outcome.parked, outcome.facts) == (wait, {})

    @pytest.mark.parametrize("said", ["parked=soon", "parked=0", """{"parked": {"until": -1}}""", """{"parked": 3}"""])
    async def test_a_wait_that_makes_no_sense_fails(self, jig: Jig, tmp_path: Path, said: str) -> None:
        with pytest.raises(Permanent):
            await self.run(jig, tmp_path, f"#!/bin/sh\necho '{said}' > $RACKWRIGHT_OUTPUT\n")

    async def test_inputs_come_as_a_file_and_as_variables(self, jig: Jig, tmp_path: Path) -> None:
        script = """#!/usr/bin/env python3
import json, os
said = json.load(open(os.environ["RACKWRIGHT_INPUTS"]))
files = os.environ["RACKWRIGHT_FILES"]
facts = {"a.inputs": said, "a.env": dict(os.environ), "a.cwd": os.getcwd(), "a.lib": open(files + "/lib/x").read()}
facts["nodes"] = {"n2": {"served": True}}
json.dump(facts, open(os.environ["RACKWRIGHT_OUTPUT"], "w"))
"""
        inputs = {"port": 4222, "seed.list": ["a"], "tls": True, "none": None, "path": "/nowhere"}
        os.environ["RACKWRIGHT_TOKEN"] = "the rack's secret"
        try:
            outcome = await self.run(jig, tmp_path, script, inputs=inputs, files={"lib/x": "text"})
        finally:
            del os.environ["RACKWRIGHT_TOKEN"]
        env = outcome.facts["a.env"]
        assert outcome.facts["a.inputs"]["node"] == {"name": "n1", "address": "127.0.0.1"}
        assert outcome.facts["a.inputs"]["port"] == 4222
        assert (env["PORT"], env["TLS"], env["RACKWRIGHT_ADDRESS"]) == ("4222", "true", "127.0.0.1")
        assert env["PATH"].startswith(os.path.dirname(sys.executable))
        assert not {"SEED_LIST", "NONE", "RACKWRIGHT_TOKEN"} & set(env)
        assert env["HOME"] == outcome.facts["a.cwd"]
        assert outcome.facts["a.lib"] == "text"
        assert outcome.node_facts == {"n2": {"served": True}}

    async def test_a_hanging_script_is_killed_with_all_its_children(self, jig: Jig, tmp_path: Path) -> None:
        with pytest.raises(Permanent, match=r"timeout of 2 s.*last said: begun.*raise `timeout`"):
            await self.run(jig, tmp_path, "#!/bin/sh\necho begun\nsetsid sleep 61 &\nsleep 60\n", timeout=2.0)

    async def test_exit_1_fails_with_the_last_words(self, jig: Jig, tmp_path: Path) -> None:
        with pytest.raises(Permanent, match=r"exit code 1; it last said: this went wrong"):
            await self.run(jig, tmp_path, self.bad["script"])

    async def test_exit_75_is_retryable(self, jig: Jig, tmp_path: Path) -> None:
        with pytest.raises(Retryable, match="not yet"):
            await self.run(jig, tmp_path, "echo not yet\nexit 75\n")

    async def test_a_signal_is_named(self, jig: Jig, tmp_path: Path) -> None:
        with pytest.raises(Permanent, match="killed by SIGSEGV; it said nothing"):
            await self.run(jig, tmp_path, "kill -SEGV $$\n:\n")

    async def test_a_script_that_prints_a_gigabyte_is_stopped_at_the_limit(self, jig: Jig, tmp_path: Path) -> None:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        work = make_work(tmp_path, {"script": "head -c 1000000000 /dev/zero\n:\n"})
        with pytest.raises(Permanent, match=r"log limit of 67108864 bytes.*log_limit"):
            await jig.run(work)
        assert os.path.getsize(work.log) == 64 * 1024 * 1024
        assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 20_000
        os.unlink(work.log)

    @pytest.mark.parametrize("leave", ["sleep 63 &", "setsid sleep 63 &", "setsid -f sleep 63"])
    async def test_children_left_behind_are_killed_and_named(self, jig: Jig, tmp_path: Path, leave: str) -> None:
        with pytest.raises(Permanent, match=r"left 1 process.*sleep 63.*service jig"):
            await self.run(jig, tmp_path, f"{leave}\nsleep 0.1\n")

    async def test_a_child_with_a_washed_environment_is_found_by_its_session(self, jig: Jig, tmp_path: Path) -> None:
        with pytest.raises(Permanent, match="sleep 64"):
            await self.run(jig, tmp_path, "env -i /bin/sleep 64 &\nsleep 0.1\n")

    async def test_children_that_end_by_themselves_are_no_fault(self, jig: Jig, tmp_path: Path) -> None:
        outcome = await self.run(jig, tmp_path, "sleep 0.2 &\necho a=1 > $RACKWRIGHT_OUTPUT\n")
        assert outcome.facts == {"a": "1"}

    @pytest.mark.parametrize(
        ("written", "reason"),
        [
            ('{"a": ', "file of facts is wrong"),
            ("[1, 2]", "file of facts is wrong"),
            ('{"nodes": 3}', "file of facts is wrong"),
            ("just words", "line 1 has no '='"),
        ],
    )
    async def test_wrong_output_fails(self, jig: Jig, tmp_path: Path, written: str, reason: str) -> None:
        with pytest.raises(Permanent, match=reason):
            await self.run(jig, tmp_path, f"cat > $RACKWRIGHT_OUTPUT <<'E'\n{written}\nE\n")

    @pytest.mark.parametrize(
        "make",
        ["mkfifo", "mkdir", "ln -s /etc/hostname"],
    )
    async def test_an_output_that_is_no_plain_file_fails(self, jig: Jig, tmp_path: Path, make: str) -> None:
        with pytest.raises(Permanent, match="not a plain file"):
            await self.run(jig, tmp_path, f"{make} $RACKWRIGHT_OUTPUT\n:\n")

    async def test_a_full_disk_for_logs_fails_that_task_and_says_how_to_mend_it(self, jig: Jig, tmp_path: Path) -> None:
        full = make_work(tmp_path, {"script": "echo word\nsleep 60\n"})
        os.symlink("/dev/full", full.log)
        other = make_work(tmp_path, self.good)
        failed, fine = await asyncio.gather(jig.run(full), jig.run(other), return_exceptions=True)
        assert isinstance(failed, Permanent)
        for part in ("No space left on device", full.log, "free space"):
            assert part in str(failed)
        assert isinstance(fine, Outcome)

    @pytest.mark.parametrize(
        ("script", "reason"),
        [
            ("scripts/absent.sh", "the catalog has no script 'scripts/absent.sh'"),
            ("#!/no/such/program\n:\n", "'/no/such/program' could not be started"),
            ("#!/bin/sh\r\n:\n", "could not be started.*Windows line ends"),
            ("#!/etc/passwd\n:\n", "make the file executable"),
        ],
    )
    async def test_a_script_that_cannot_start_says_why(
        self, jig: Jig, tmp_path: Path, script: str, reason: str
    ) -> None:
        with pytest.raises(Permanent, match=reason):
            await self.run(jig, tmp_path, script)

    async def test_a_script_of_the_catalog_gets_its_arguments(self, jig: Jig, tmp_path: Path) -> None:
        files = {"s/a.sh": 'echo "said=$1 $2 $EXTRA" > $RACKWRIGHT_OUTPUT\n'}
        parameters = {"args": ["one", 2], "env": {"EXTRA": True}}
        outcome = await self.run(jig, tmp_path, "s/a.sh", files=files, parameters=parameters)
        assert outcome.facts == {"said": "one 2 true"}

    async def test_a_file_that_leads_out_of_its_folder_is_refused(self, jig: Jig, tmp_path: Path) -> None:
        with pytest.raises(Permanent, match="leads out"):
            await self.run(jig, tmp_path, ":\n:\n", files={"../../out": "text"})

    async def test_leftovers_of_a_killed_rack_are_killed(self, tmp_path: Path) -> None:
        jig = ScriptJig(str(tmp_path / "jig"))
        await jig.open()
        code = (
            "import asyncio, sys, os, signal\n"
            "from pathlib import Path\n"
            "from rackwright.drivers.jig.script import ScriptJig\n"
            "from tests.integration.jig_conformance import make_work\n"
            f"folder = Path({str(tmp_path)!r})\n"
            "work = make_work(folder, {'script': 'setsid env -i sleep 65 & env -i sleep 66 & sleep 67\\n:\\n'})\n"
            "asyncio.run(ScriptJig(str(folder / 'jig')).run(work))\n"
        )
        rack = await asyncio.create_subprocess_exec(sys.executable, "-c", code, cwd=Path(__file__).parents[2])
        await until(lambda: any("sleep 67" in line for line in processes_below(tmp_path)))
        rack.kill()
        await rack.wait()
        await ScriptJig(str(tmp_path / "jig")).open()
        assert processes_below(tmp_path) == []
        assert os.listdir(jig.folder) == []


class TestService(JigConformance):
    good = {"command": ["sleep", "60"], "facts": {"done": "yes"}}
    bad = {"command": ["sh", "-c", "echo it cannot go on; exit 3"]}
    slow = {"command": ["sleep", "60"], "ready": {"file": "/no/such/file"}}

    @pytest.fixture
    async def jig(self, tmp_path: Path) -> AsyncIterator[ServiceJig]:
        jig = ServiceJig(str(tmp_path / "jig"))
        await jig.open()
        yield jig
        await jig.close(5)
        assert processes_below(tmp_path) == []

    def pid(self, jig: ServiceJig) -> int | None:
        (service,) = jig._services.values()
        return service.pid

    async def test_it_is_ready_when_its_port_answers(self, jig: ServiceJig, tmp_path: Path) -> None:
        port = free_port()
        parameters = server(port, facts={"served": port}, name="web", ready={"http": f"http://${{ADDRESS}}:{port}/"})
        work = make_work(tmp_path, parameters, writes=("served", "service.web.digest"))
        outcome = await jig.run(work)
        assert outcome.facts["served"] == port
        assert len(outcome.facts["service.web.digest"]) == 32
        assert "ready" in Path(work.log).read_text()

    async def test_the_same_again_changes_nothing_and_another_command_restarts_it(
        self, jig: ServiceJig, tmp_path: Path
    ) -> None:
        port = free_port()
        config = tmp_path / "state" / "config"
        config.parent.mkdir()
        config.write_text("one")
        parameters = server(port, files=["${STATE}/config"], env={"WORD": "a"})
        digest = "service.work.digest"

        async def again(change: dict[str, Any]) -> tuple[int | None, str]:
            outcome = await jig.run(make_work(tmp_path, parameters | change, writes=(digest,)))
            return self.pid(jig), outcome.facts[digest]

        first = await again({})
        assert await again({}) == first
        config.write_text("two")
        second = await again({})
        third = await again({"env": {"WORD": "b"}})
        assert len({first, second, third}) == 3
        assert len(processes_below(tmp_path)) == 1

    async def test_a_service_of_a_node_task_that_is_no_more_is_stopped_and_not_started_again(
        self, jig: ServiceJig, tmp_path: Path
    ) -> None:
        await jig.run(make_work(tmp_path, server(free_port()), id=7))
        assert jig.kept() == [7]
        await jig.drop([8])
        assert jig.kept() == [7]
        await jig.drop([7, 8])
        assert (jig.kept(), processes_below(tmp_path)) == ([], [])
        later = ServiceJig(jig.folder)
        await later.open()
        assert later.kept() == []

    async def test_a_service_belongs_to_the_node_task_that_wanted_it_last(
        self, jig: ServiceJig, tmp_path: Path
    ) -> None:
        parameters = server(free_port())
        await jig.run(make_work(tmp_path, parameters, id=7))
        before = self.pid(jig)
        await jig.run(make_work(tmp_path, parameters, id=9))
        await jig.drop([7])
        assert (jig.kept(), self.pid(jig)) == ([9], before)

    async def test_a_killed_service_is_restarted(self, jig: ServiceJig, tmp_path: Path) -> None:
        port = free_port()
        await jig.run(make_work(tmp_path, server(port)))
        pid = self.pid(jig)
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        await until(lambda: self.pid(jig) not in (None, pid))

    async def test_a_new_rack_adopts_it_and_a_clean_end_stops_it(self, tmp_path: Path) -> None:
        first, second = ServiceJig(str(tmp_path / "jig")), ServiceJig(str(tmp_path / "jig"))
        await first.open()
        await first.run(make_work(tmp_path, {"command": ["sleep", "60"]}))
        for service in first._services.values():
            assert service._keeper is not None
            service._keeper.cancel()
        await second.open()
        assert self.pid(second) == self.pid(first)
        pid = self.pid(second)
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        await until(lambda: self.pid(second) not in (None, pid))
        await second.close(5)
        assert processes_below(tmp_path) == []
        third = ServiceJig(str(tmp_path / "jig"))
        await third.open()
        assert self.pid(third) is not None
        await third.close(5)
        first_service = next(iter(first._services.values()), None)
        if first_service is not None and first_service._process is not None:
            first_service._process.reap()

    async def test_one_that_ends_at_once_fails_with_its_last_words(self, jig: ServiceJig, tmp_path: Path) -> None:
        with pytest.raises(Permanent, match=r"ended 3 times.*exit code 3; it last said:.*it cannot go on"):
            await jig.run(make_work(tmp_path, self.bad))
        assert processes_below(tmp_path) == []
        assert jig._services == {}

    async def test_one_that_is_never_ready_fails_after_its_timeout(self, jig: ServiceJig, tmp_path: Path) -> None:
        with pytest.raises(Permanent, match=r"not ready \(port 1\) within its timeout of 0\.5 s"):
            await jig.run(make_work(tmp_path, {"command": ["sleep", "60"], "ready": {"tcp": 1}}, timeout=0.5))

    async def test_a_port_that_another_program_holds_is_named(self, jig: ServiceJig, tmp_path: Path) -> None:
        with socket.create_server(("127.0.0.1", 0)) as other:
            port = other.getsockname()[1]
            with pytest.raises(Permanent, match=f"port {port} of 127.0.0.1 is already taken"):
                await jig.run(make_work(tmp_path, server(port)))

    async def test_a_missing_program_says_so(self, jig: ServiceJig, tmp_path: Path) -> None:
        with pytest.raises(Permanent, match=r"no-such-program.*could not be started"):
            await jig.run(make_work(tmp_path, {"command": ["no-such-program"]}))

    async def test_state_stopped_ends_it_for_good(self, jig: ServiceJig, tmp_path: Path) -> None:
        await jig.run(make_work(tmp_path, {"command": ["sleep", "60"]}))
        await jig.run(make_work(tmp_path, {"command": ["sleep", "60"], "state": "stopped"}))
        assert processes_below(tmp_path) == []
        again = ServiceJig(str(tmp_path / "jig"))
        await again.open()
        assert again._services == {}

    async def test_one_that_ignores_its_stop_signal_is_killed_with_its_children(self, tmp_path: Path) -> None:
        jig = ServiceJig(str(tmp_path / "jig"))
        await jig.open()
        await jig.run(make_work(tmp_path, {"command": ["sh", "-c", "trap '' TERM; setsid sleep 68 & sleep 69"]}))
        began = time.monotonic()
        await jig.close(0.3)
        assert time.monotonic() - began >= 0.3
        assert processes_below(tmp_path) == []

    async def test_a_change_that_is_cancelled_half_way_leaves_nothing_unwatched(
        self, jig: ServiceJig, tmp_path: Path
    ) -> None:
        stubborn = {"command": ["sh", "-c", "trap '' TERM; sleep 69"]}
        await jig.run(make_work(tmp_path, stubborn))
        change = asyncio.create_task(jig.run(make_work(tmp_path, {"command": ["sleep", "60"]})))
        await asyncio.sleep(0.2)
        change.cancel()
        with pytest.raises(asyncio.CancelledError):
            await change
        assert processes_below(tmp_path) == []
        await jig.run(make_work(tmp_path, {"command": ["sleep", "60"]}))
        assert processes_below(tmp_path) == ["sleep 60"]

    async def test_an_address_is_needed_only_where_it_is_used(self, jig: ServiceJig, tmp_path: Path) -> None:
        with pytest.raises(Permanent, match="needs an address"):
            await jig.run(make_work(tmp_path, {"command": ["echo", "${ADDRESS}"]}, address=None))
