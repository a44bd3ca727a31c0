"""A roll-out in waves, with whole processes: it halts at what fails, and goes on when a person lets it."""

from __future__ import annotations

from tests.acceptance.site import CATALOGS, Site, eventually


def states(site: Site) -> dict[str, str]:
    return {node: task["state"] for (node, name), task in site.tasks("rolling").items() if name == "work"}


def test_a_roll_out_halts_at_the_wave_that_fails_and_goes_on_when_it_is_forgiven(site: Site) -> None:
    nodes = site.add_nodes("w", 4, 4)
    site.run("catalog", "add", str(CATALOGS / "troubled"), "--name", "troubled")
    site.run("deployment", "create", "rolling", "--catalog", "troubled")
    site.run("deployment", "waves", "rolling", "--canary", nodes[0], "--steps", "2")
    bound = ("--bind", f"well={','.join(nodes)}", "--bind", f"failing={nodes[1]}")
    site.run("deployment", "apply", "rolling", *bound)
    found = site.until_state("rolling", "error")
    assert found["reasons"][0] == "held: wave 2 of 3: 2 of 4 nodes, halted: 1 failed, tolerance 0"
    at_first = states(site)
    assert at_first[nodes[0]] == "active"
    assert [at_first[node] for node in nodes[2:]] == ["todo", "todo"]
    site.run("deployment", "waves", "rolling", "--forgive")
    eventually(lambda: [states(site)[node] for node in nodes[2:]] == ["active", "active"], "the last wave is done")
    site.run("deployment", "delete", "rolling", "--yes")
