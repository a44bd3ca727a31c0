"""The jigs that sign in on machines: ssh and ansible, against a real SSH server."""

from __future__ import annotations

import asyncio
import shutil
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import asyncssh
import pytest

from rackwright.core.errors import Permanent, Retryable
from rackwright.core.jig import Outcome
from rackwright.drivers.jig.ansible import AnsibleJig
from rackwright.drivers.jig.rack_key import public_key
from rackwright.drivers.jig.ssh import SshJig
from tests.integration.jig_conformance import JigConformance, make_work
from tests.integration.ssh_machine import SshMachine, ssh_machine

GOOD = '#!/bin/sh\necho "I am on it"\necho "done=yes" > "$RACKWRIGHT_OUTPUT"\n'
needs_ssh = pytest.mark.skipif(shutil.which("ssh") is None, reason="no ssh (Debian: openssh-client)")


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    return tmp_path / "jigs" / "ssh"


@pytest.fixture
async def machine(keys: Path, tmp_path: Path) -> AsyncIterator[SshMachine]:
    async with ssh_machine(public_key(str(keys)), tmp_path) as machine:
        yield machine


class Reaching:
    """The jig with where the machine is filled in."""

    def __init__(self, jig: Any, machine: SshMachine) -> None:
        self.jig, self.machine = jig, machine

    async def run(self, work: Any) -> Outcome:
        where = {"port": self.machine.port, "host_keys": [self.machine.host_key], "user": "tester"}
        work.claim.parameters.update(
            {name: value for name, value in where.items() if name not in work.claim.parameters}
        )
        found: Outcome = await self.jig.run(work)
        return found

    def __getattr__(self, name: str) -> Any:
        return getattr(self.jig, name)


class TestSsh(JigConformance):
    @property
    def good(self) -> dict[str, Any]:
        return {"script": GOOD}

    @property
    def bad(self) -> dict[str, Any]:
        return {"script": "#!/bin/sh\necho no good\nexit 3\n"}

    @property
    def slow(self) -> dict[str, Any]:
        return {"script": "#!/bin/sh\nsleep 61\n"}

    @pytest.fixture
    async def jig(self, keys: Path, machine: SshMachine) -> AsyncIterator[Reaching]:
        jig = SshJig(str(keys))
        await jig.open()
        yield Reaching(jig, machine)
        await jig.close(1.0)

    async def test_inputs_files_and_arguments_reach_the_script(self, jig: Reaching, tmp_path: Path) -> None:
        script = '#!/bin/sh\necho "$PORT $1" "$(cat "$RACKWRIGHT_FILES/lib/word")" "$(wc -c < "$RACKWRIGHT_INPUTS")"\n'
        files = {"main.sh": script, "lib/word": "hello"}
        parameters = {"script": "main.sh", "args": ["x"]}
        work = make_work(tmp_path, parameters, inputs={"port": 80}, files=files)
        await jig.run(work)
        assert Path(work.log).read_text().startswith("80 x hello ")

    async def test_nothing_is_left_on_the_machine(self, jig: Reaching, tmp_path: Path) -> None:
        script = '#!/bin/sh\npwd\nsleep 300 & \necho "done=yes" > "$RACKWRIGHT_OUTPUT"\necho child $!\n'
        work = make_work(tmp_path, {"script": script}, writes=("done",), timeout=10.0)
        await jig.run(work)
        folder, child = Path(work.log).read_text().split("\n")[:2]
        assert not Path(folder).exists()
        async with asyncio.timeout(60):
            while Path(f"/proc/{child.split()[1]}/status").exists():
                if "Z (zombie)" in Path(f"/proc/{child.split()[1]}/status").read_text():
                    break
                await asyncio.sleep(0.05)

    async def test_a_machine_with_another_host_key_is_refused_for_good(self, jig: Reaching, tmp_path: Path) -> None:
        other = asyncssh.generate_private_key("ssh-ed25519").export_public_key().decode()
        with pytest.raises(Permanent, match="not the machine that was installed"):
            await jig.run(make_work(tmp_path, {"script": GOOD, "host_keys": [other]}))

    async def test_nobody_signs_in_where_no_host_key_is_known(self, jig: Reaching, tmp_path: Path) -> None:
        with pytest.raises(Permanent, match=r"observed\.os\.ssh_host_keys"):
            await jig.run(make_work(tmp_path, {"script": GOOD, "host_keys": []}))

    async def test_host_keys_come_from_the_inputs_too(self, jig: Reaching, machine: SshMachine, tmp_path: Path) -> None:
        inputs = {"host_keys": [machine.host_key]}
        work = make_work(tmp_path, {"script": GOOD, "host_keys": []}, inputs=inputs, writes=("done",))
        assert (await jig.run(work)).facts == {"done": "yes"}

    async def test_a_machine_that_is_not_there_is_tried_again(self, jig: Reaching, tmp_path: Path) -> None:
        with pytest.raises(Retryable, match="cannot be reached"):
            await jig.run(make_work(tmp_path, {"script": GOOD, "port": 1}))

    async def test_a_stranger_is_not_let_in(self, machine: SshMachine, tmp_path: Path) -> None:
        stranger = SshJig(str(tmp_path / "other"))
        await stranger.open()
        with pytest.raises(Permanent, match="does not let us in"):
            await Reaching(stranger, machine).run(make_work(tmp_path, {"script": GOOD}))


PYTHON = {"ansible_python_interpreter": sys.executable}
PLAY = """
- hosts: machine
  gather_facts: false
  tasks:
    - ansible.builtin.command: echo "on {{ node.name }} with {{ inputs.port | default('none') }}"
    - ansible.builtin.set_stats: {data: {done: "yes"}}
"""


class TestAnsible:
    @pytest.fixture
    async def jig(self, tmp_path: Path) -> AnsibleJig:
        jig = AnsibleJig(str(tmp_path / "jigs" / "ansible"))
        await jig.open()
        return jig

    async def test_a_play_sees_the_inputs_and_gives_facts(self, jig: AnsibleJig, tmp_path: Path) -> None:
        parameters = {"playbook": PLAY, "connection": "local"}
        work = make_work(tmp_path, parameters, inputs={"port": 80}, timeout=120.0, writes=("done",))
        assert (await jig.run(work)).facts == {"done": "yes"}
        assert "TASK [ansible.builtin.command]" in Path(work.log).read_text()

    async def test_facts_with_dots_are_given_as_mappings(self, jig: AnsibleJig, tmp_path: Path) -> None:
        play = PLAY.replace('{done: "yes"}', '{web: {version: "7", of: {x: 1}}, done: {by: me}}')
        work = make_work(
            tmp_path, {"playbook": play, "connection": "local"}, timeout=120.0, writes=("web.version", "web.of", "done")
        )
        assert (await jig.run(work)).facts == {"web.version": "7", "web.of": {"x": 1}, "done": {"by": "me"}}

    @needs_ssh
    async def test_a_play_runs_on_the_machine_over_ssh(
        self, jig: AnsibleJig, machine: SshMachine, tmp_path: Path
    ) -> None:
        parameters = {
            "playbook": PLAY,
            "port": machine.port,
            "host_keys": [machine.host_key],
            "user": "tester",
            "variables": PYTHON,
        }
        work = make_work(tmp_path, parameters, timeout=120.0, writes=("done",))
        assert (await jig.run(work)).facts == {"done": "yes"}

    @needs_ssh
    async def test_a_machine_with_another_host_key_is_not_played_on(
        self, jig: AnsibleJig, machine: SshMachine, tmp_path: Path
    ) -> None:
        other = asyncssh.generate_private_key("ssh-ed25519").export_public_key().decode()
        parameters = {
            "playbook": PLAY,
            "port": machine.port,
            "host_keys": [other],
            "user": "tester",
            "variables": PYTHON,
        }
        with pytest.raises(Retryable, match="cannot be reached"):
            await jig.run(make_work(tmp_path, parameters, timeout=120.0))

    async def test_a_task_that_fails_fails_the_play(self, jig: AnsibleJig, tmp_path: Path) -> None:
        play = "- hosts: machine\n  gather_facts: false\n  tasks:\n    - ansible.builtin.command: /bin/false\n"
        with pytest.raises(Permanent, match="failed"):
            await jig.run(make_work(tmp_path, {"playbook": play, "connection": "local"}, timeout=120.0))

    async def test_a_play_that_takes_too_long_is_ended(self, jig: AnsibleJig, tmp_path: Path) -> None:
        play = "- hosts: machine\n  gather_facts: false\n  tasks:\n    - ansible.builtin.command: sleep 61\n"
        with pytest.raises(Permanent, match="timeout"):
            await jig.run(make_work(tmp_path, {"playbook": play, "connection": "local"}, timeout=8.0))
