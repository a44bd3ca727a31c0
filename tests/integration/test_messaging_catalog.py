"""The shipped catalog `messaging`: its scripts as real processes, and how far each change reaches."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import httpx
import pytest

from rackwright.commands.demo_ground import free_port
from rackwright.core.messages import Claim, Result
from rackwright.engine import deployments
from rackwright.engine.catalogs import find, stack
from rackwright.store.memory import MemoryStore
from tests.integration.hands import Hands, ok

CATALOG = Path(__file__).resolve().parents[2] / "src" / "rackwright" / "catalogs" / "messaging"
LAYER = CATALOG.with_name("messaging_on_machines")
NO_SYSTEMD = """
def start(name, description, command): print(command)
def wait_for(address, port): pass
"""
SEEDS, FOLLOWERS = ["n0", "n1"], ["n2", "n3"]
BIND = {"nats-seed": SEEDS, "nats": FOLLOWERS}
OWN = {"nats-config", "nats-routes"}
Pairs = set[tuple[str, str]]


class Machines:
    """Carries out the catalog's scripts for real; servers are taken to run as configured."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.said = ""
        self.load: dict[str, Any] = {}
        """The parameters of the last load."""

    def script(self, name: str, scope: str, inputs: dict[str, Any], *words: str) -> dict[str, Any]:
        """Run one script; gives its facts."""
        work, state = self.folder / "work", self.folder / "state" / scope
        shutil.rmtree(work, ignore_errors=True)
        work.mkdir()
        state.mkdir(parents=True, exist_ok=True)
        (work / "inputs.json").write_text(json.dumps({"node": {"name": scope}, **inputs}))
        environment = {
            "PATH": os.environ["PATH"],
            "RACKWRIGHT_INPUTS": str(work / "inputs.json"),
            "RACKWRIGHT_OUTPUT": str(work / "output"),
            "RACKWRIGHT_STATE": str(state),
            "RACKWRIGHT_FILES": str(CATALOG),
            "NKEYS": "scripts/nkeys.py",
        }
        script = CATALOG / "scripts" / name
        ended = subprocess.run(
            [sys.executable, "-B", script, *words], env=environment, capture_output=True, text=True, check=False
        )
        self.said += ended.stdout + ended.stderr
        if ended.returncode:
            raise RuntimeError(ended.stderr)
        facts: dict[str, Any] = json.loads((work / "output").read_text())
        return facts

    def jig(self, claim: Claim) -> Result:
        """What becomes of a claim."""
        if claim.jig == "service":
            digest = hashlib.sha256(json.dumps(claim.inputs).encode()).hexdigest()
            return ok(claim, **{path: digest for path in claim.writes})
        if claim.jig == "load":
            self.load = claim.parameters
            return ok(claim, **{"messaging.load.sla": "ok"})
        if claim.task == "nats-routes":
            seen = [claim.inputs["service"], claim.inputs["members"]]
            return ok(claim, **{"nats.verified": {"client": f"{claim.scope}:4222", "seen": seen}})
        if claim.task == "messaging-proof":
            return ok(claim, **{"messaging.proof": "passed"})
        name, words = claim.parameters["script"].split("/")[-1], claim.parameters.get("args", [])
        return ok(claim, **self.script(name, claim.scope, claim.inputs, *words))


@pytest.fixture
def machines(tmp_path: Path) -> Machines:
    return Machines(tmp_path)


@pytest.fixture
async def hands(machines: Machines) -> Hands:
    store = MemoryStore()
    made = Hands(store, store.views)
    await made.site(nodes=5, racks=2)
    await deployments.create(made.store, made.library, "d", catalog="messaging")
    await made.apply({"bind": BIND})
    await made.run(machines.jig)
    return made


def server(node: str) -> str:
    return "nats-seed-server" if node in SEEDS else "nats-server"


def on_each(nodes: list[str]) -> Pairs:
    return {(node, task) for node in nodes for task in (*OWN, server(node))}


async def changed(hands: Hands, machines: Machines, changes: dict[str, Any]) -> Pairs:
    """Apply changes; gives what ran, having seen that it is what the plan named, each once."""
    summary = await hands.apply(changes)
    named = {(item["node"], item["task"]) for part in ("run", "again", "follow") for item in summary[part]}
    ran = await hands.run(machines.jig)
    assert len(ran) == len(set(ran))
    assert set(ran) <= named
    return set(ran)


async def test_everything_becomes_active_and_seeds_start_before_followers(hands: Hands) -> None:
    assert set((await hands.states()).values()) == {"active"}
    order = [scope for scope, task in hands.ran if task in ("nats-seed-server", "nats-server")]
    assert set(order[:2]) == set(SEEDS)
    first_question = next(place for place, (_, task) in enumerate(hands.ran) if task == "nats-routes")
    assert {scope for scope, task in hands.ran[:first_question] if task.endswith("-server")} == {*SEEDS, *FOLLOWERS}


async def test_a_seed_that_is_bound_as_a_server_too_runs_one_server_only(machines: Machines) -> None:
    store = MemoryStore()
    hands = Hands(store, store.views)
    await hands.site(nodes=3)
    await deployments.create(store, hands.library, "d", catalog="messaging")
    await hands.apply({"bind": {"nats-seed": ["n0"], "nats": ["n0", "n1", "n2"]}})
    ran = await hands.run(machines.jig)
    assert {pair for pair in ran if "server" in pair[1]} == {
        ("n0", "nats-seed-server"),
        ("n1", "nats-server"),
        ("n2", "nats-server"),
    }
    assert set((await hands.states()).values()) == {"active"}


async def test_another_largest_message_concerns_every_server_and_nothing_shared(
    hands: Hands, machines: Machines
) -> None:
    ran = await changed(hands, machines, {"set": {"nats": {"max_payload": 2097152}}})
    assert ran == on_each([*SEEDS, *FOLLOWERS]) | {("d", "messaging-proof")}


async def test_a_change_on_one_node_stays_on_that_node(hands: Hands, machines: Machines) -> None:
    ran = await changed(hands, machines, {"set_nodes": {"n2": {"nats": {"max_connections": 7}}}})
    assert ran == on_each(["n2"]) | {("d", "messaging-proof")}


async def test_a_new_server_is_asked_for_by_all_and_configured_by_none(hands: Hands, machines: Machines) -> None:
    ran = await changed(hands, machines, {"bind": {"nats": ["n4"]}})
    asked = {(node, "nats-routes") for node in (*SEEDS, *FOLLOWERS)}
    shared = {("d", "messaging-members"), ("d", "messaging-proof")}
    assert on_each(["n4"]) | asked | shared <= ran
    assert not {pair for pair in ran if pair[1].endswith(("-server", "-config")) and pair[0] != "n4"}


LOAD = ("d", "messaging-load")
PAGE = {"status-page", "status-server"}
AGENT = {"load-agent-key", "load-agent"}


@pytest.fixture
async def loaded(hands: Hands, machines: Machines) -> Hands:
    """The same, with a status page and two load agents."""
    await hands.apply({"bind": {"status-page": ["n4"], "load-agent": ["n2", "n3"]}})
    await hands.run(machines.jig)
    assert set((await hands.states()).values()) == {"active"}
    return hands


async def test_the_load_comes_last_and_goes_to_every_server_and_page(loaded: Hands, machines: Machines) -> None:
    assert loaded.ran[-1] == LOAD
    assert not {scope for scope, task in loaded.ran if task in PAGE} - {"n4"}
    asked = machines.load
    assert sorted(asked["args"]["servers"]) == [f"{node}:4222" for node in (*SEEDS, *FOLLOWERS)]
    assert len(asked["args"]["pages"]) == 1
    assert asked["agents"]["names"] == ["n2", "n3"]


async def test_another_load_runs_the_load_alone(loaded: Hands, machines: Machines) -> None:
    assert await changed(loaded, machines, {"set": {"load-agent": {"seconds": 3}}}) == {LOAD}


def test_on_machines_every_server_runs_where_its_address_is() -> None:
    catalog = stack([find("messaging"), find(LAYER.name)])
    servers = {task.id: task.type for graph in catalog.graphs.values() for task in graph.tasks if "server" in task.id}
    assert servers == dict.fromkeys(("nats-seed-server", "nats-server", "status-server"), "agent")


def test_the_page_of_a_machine_is_read_at_its_address(machines: Machines, tmp_path: Path) -> None:
    at = {"address": "127.0.0.1", "port": free_port()}
    facts = machines.script("page.py", "n4", {"members": ["n1", "<n2>"], **at})
    inputs = {"html": facts["status.html"], "page": facts["status.page"], **at}
    (tmp_path / "inputs.json").write_text(json.dumps(inputs))
    (tmp_path / "unit.py").write_text(NO_SYSTEMD)
    environment = {"RACKWRIGHT_INPUTS": str(tmp_path / "inputs.json"), "RACKWRIGHT_FILES": str(tmp_path)}
    script = [sys.executable, "-B", str(LAYER / "scripts" / "page_server.py"), str(tmp_path / "page")]
    said = subprocess.check_output(script, env={**environment, "UNIT": "unit.py"}, text=True)
    words = [sys.executable, *said.splitlines()[0].split()[1:]]
    with subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as server:
        try:
            with httpx.Client(transport=httpx.HTTPTransport(retries=7)) as client:
                assert "<li>&lt;n2&gt;</li>" in client.get(inputs["page"]).text
        finally:
            server.kill()


async def test_another_port_of_a_page_stays_on_its_node(loaded: Hands, machines: Machines) -> None:
    ran = await changed(loaded, machines, {"set_nodes": {"n4": {"status-page": {"port": 8081}}}})
    assert ran == {("n4", task) for task in PAGE} | {LOAD}


async def test_another_load_agent_is_let_in_and_troubles_no_other(loaded: Hands, machines: Machines) -> None:
    ran = await changed(loaded, machines, {"bind": {"load-agent": ["n1"]}})
    assert {("n1", task) for task in AGENT} | {("d", "load-members"), LOAD} <= ran
    assert not {(scope, task) for scope, task in ran if task in AGENT and scope != "n1"}


async def test_secret_halves_of_load_keys_stay_in_files_for_their_owner(loaded: Hands, machines: Machines) -> None:
    files = list((machines.folder / "state").rglob("load/*"))
    assert {file.name for file in files} == {"controller.pair", "controller.key", "agent.pair", "agent.key"}
    assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}
    secrets = {json.loads(file.read_text())["secret"] for file in files}
    async with loaded.store.transaction() as tx:
        scopes = {**await tx.named("node", None), **await tx.named("deployment", None)}
        facts = str(await tx.facts([scope.id for scope in scopes.values()], ["load"]))
    assert not {secret for secret in secrets if secret in facts + machines.said}


async def test_an_attribute_out_of_its_range_is_refused_with_its_name(hands: Hands) -> None:
    plan = await hands.plan({"set": {"nats": {"max_payload": 1}}})
    assert plan.state == "failed"
    assert "max_payload" in plan.error


async def test_no_secret_is_in_facts_logs_or_configurations(hands: Hands, machines: Machines) -> None:
    (file,) = (machines.folder / "state").rglob("*.nk")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    secret = file.read_text().strip()
    async with hands.store.transaction() as tx:
        scopes = {**await tx.named("node", None), **await tx.named("deployment", None)}
        facts = await tx.facts([scope.id for scope in scopes.values()], ["messaging", "nats"])
    assert any(fact.path == "messaging.accounts" for fact in facts)
    assert secret not in repr(facts) + machines.said
    assert secret not in "".join(path.read_text() for path in (machines.folder / "state").rglob("nats.conf"))


def test_keys_of_accounts_are_made_once_and_kept(machines: Machines) -> None:
    first = machines.script("accounts.py", "d", {"accounts": ["main"]})
    both = machines.script("accounts.py", "d", {"accounts": ["main", "billing"]})["messaging.accounts"]
    assert both["main"] == first["messaging.accounts"]["main"]
    assert both["billing"] != both["main"]


def test_without_seeds_the_reason_says_what_to_bind(machines: Machines) -> None:
    with pytest.raises(RuntimeError, match="bind one"):
        machines.script("seeds.py", "d", {"addresses": {}, "ports": {}})


def test_a_rendered_configuration_is_taken_by_the_server(machines: Machines) -> None:
    program = shutil.which("nats-server", path=os.pathsep.join((str(Path(sys.executable).parent), os.environ["PATH"])))
    if program is None:
        pytest.skip("the program nats-server is not installed")
    accounts = machines.script("accounts.py", "d", {"accounts": ["main"]})["messaging.accounts"]
    inputs = {
        "address": "127.9.9.9", "client_port": 4222, "route_port": 6222, "monitor_port": 8222, "cluster_name": "c",
        "max_payload": 4096, "max_connections": 5, "write_deadline": 3, "log": "trace", "accounts": accounts,
        "seeds": {"s1": "127.9.9.8:6222", "n9": "127.9.9.9:6222"},
    }  # fmt: skip
    text = machines.script("config.py", "n9", inputs)["nats.config"]
    assert "127.9.9.8:6222" in text
    assert "nats-route://127.9.9.9" not in text, "a server does not call itself"
    file = machines.folder / "state" / "n9" / "nats.conf"
    assert file.read_text() == text
    ended = subprocess.run([program, "-t", "--config", file], capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr


def nkeys() -> ModuleType:
    spec = importlib.util.spec_from_file_location("nkeys", CATALOG / "scripts" / "nkeys.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


# RFC 8032, section 7.1, tests 1 and 3: secret key, public key, message, signature.
VECTORS = [
    (
        "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
        "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
        "",
        "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e06522490155"
        "5fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b",
    ),
    (
        "c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
        "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
        "af82",
        "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac"
        "18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a",
    ),
]


@pytest.mark.parametrize(("secret", "public", "message", "signature"), VECTORS)
def test_signatures_are_those_of_the_standard(secret: str, public: str, message: str, signature: str) -> None:
    keys = nkeys()
    seed = keys._text(
        bytes((keys.PREFIX_SEED | (keys.PREFIX_USER >> 5), (keys.PREFIX_USER & 31) << 3)) + bytes.fromhex(secret)
    )
    assert keys.public_key(seed) == keys._text(bytes((keys.PREFIX_USER,)) + bytes.fromhex(public))
    assert keys.sign(seed, bytes.fromhex(message)).hex() == signature


def test_a_damaged_key_is_told_without_being_shown() -> None:
    keys = nkeys()
    seed = keys.new_seed()
    damaged = seed[:-4] + ("AAAA" if not seed.endswith("AAAA") else "BBBB")
    with pytest.raises(ValueError, match="damaged") as raised:
        keys.sign(damaged, b"")
    assert damaged not in str(raised.value)
