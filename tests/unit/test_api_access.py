"""Who may do what, and what an error looks like."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from rackwright.api import tokens
from rackwright.api.app import ROUTES
from rackwright.core.errors import StoreUnavailable
from tests.unit.api_world import World

PROBLEM = {"type", "title", "status", "detail", "where", "mend", "faults", "request_id"}


@pytest.fixture
def world() -> Iterator[World]:
    world = World()
    yield world
    world.close()


def test_everybody_may_ask_whether_the_api_is_well(world: World) -> None:
    for path in ("/healthz", "/readyz", "/version"):
        assert world.ask("GET", path, token="").status_code == 200


def test_every_other_route_refuses_a_caller_without_a_token(world: World) -> None:
    statuses = set()
    for route in ROUTES:
        path = route.path.replace("{name}", "x").replace("{id:int}", "1")
        if path.startswith("/api/"):
            method = next(iter((route.methods or set()) - {"HEAD"}))
            response = world.ask(method, path, {} if method in ("POST", "PATCH") else None, token="")
            statuses.add(response.status_code)
            assert response.headers["www-authenticate"] == "Bearer"
            assert response.json()["mend"]
    assert statuses == {401}


@pytest.mark.parametrize(
    ("who", "method", "path", "status"),
    [
        ("admin", "GET", "/api/v1/nodes", 200),
        ("admin", "POST", "/api/v1/nodes", 200),
        ("admin", "POST", "/api/v1/racks/r1/claims", 403),
        ("reader", "GET", "/api/v1/nodes", 200),
        ("reader", "POST", "/api/v1/nodes", 403),
        ("reader", "DELETE", "/api/v1/nodes/n1", 403),
        ("reader", "POST", "/api/v1/racks/r1/claims", 403),
        ("rack", "GET", "/api/v1/nodes", 403),
        ("rack", "POST", "/api/v1/nodes", 403),
        ("rack", "POST", "/api/v1/racks/r1/heartbeat", 200),
        ("rack", "POST", "/api/v1/racks/r2/heartbeat", 401),
        ("rack", "POST", "/api/v1/racks/r3/heartbeat", 401),
        ("stranger", "GET", "/api/v1/nodes", 401),
        ("stranger", "POST", "/api/v1/racks/r1/heartbeat", 401),
        ("damaged", "GET", "/api/v1/nodes", 401),
    ],
)
def test_a_token_reaches_only_as_far_as_it_may(world: World, who: str, method: str, path: str, status: int) -> None:
    rack = world.site()
    world.ask("POST", "/api/v1/racks", {"name": "r2"})
    token = {
        "admin": world.admin,
        "reader": world.reader,
        "rack": rack,
        "stranger": tokens.new_token(),
        "damaged": world.admin[:-1],
    }[who]
    body = {"heartbeat": {"incarnation": "a"}, "nodes": [], "claims": {"incarnation": "a", "capacity": 1, "wait": 0}}
    response = world.ask(method, path, body.get(path.rsplit("/", 1)[1]) if method == "POST" else None, token=token)
    assert response.status_code == status


def test_a_token_that_was_cut_is_told_from_one_that_is_not_known(world: World) -> None:
    assert "checksum" in world.ask("GET", "/api/v1/nodes", token=world.admin[:-1]).json()["detail"]
    assert "not known" in world.ask("GET", "/api/v1/nodes", token=tokens.new_token()).json()["detail"]


def test_only_the_digest_of_a_token_is_kept(world: World) -> None:
    world.site()
    known = world.run(world.store.views.rack_secret("r1"))
    assert known is not None
    assert len(known[1]) == 32


def test_every_made_token_is_well_formed_and_no_changed_one_is() -> None:
    for prefix in (tokens.OPERATOR_PREFIX, tokens.RACK_PREFIX):
        token = tokens.new_token(prefix)
        assert tokens.well_formed(token)
        assert token.startswith(prefix)
        for place in range(len(token)):
            other = "b" if token[place] == "a" else "a"
            assert not tokens.well_formed(token[:place] + other + token[place + 1 :])


def test_a_problem_says_what_where_how_to_mend_it_and_the_request(world: World) -> None:
    world.site()
    response = world.ask("GET", "/api/v1/deployments/dd", X_Request_Id="my-own")
    assert response.headers["content-type"] == "application/problem+json"
    problem = response.json()
    assert set(problem) == PROBLEM
    assert problem["status"] == response.status_code == 404
    assert problem["detail"] == "no deployment is called 'dd'"
    assert problem["mend"] == "did you mean d?"
    assert problem["request_id"] == response.headers["x-request-id"] == "my-own"


def test_a_request_id_that_could_do_harm_is_replaced(world: World) -> None:
    given = "x" * 200
    assert world.ask("GET", "/healthz", X_Request_Id=given).headers["x-request-id"] != given


@pytest.mark.parametrize(
    ("body", "where", "word"),
    [
        (b"{", "", "JSON"),
        (b'{"name": "\xff", "catalog": "x"}', "", "JSON"),
        ({"name": "d", "catalog": "tiny", "colour": 1}, "/", "colour"),
        ({"name": 1, "catalog": "tiny"}, "/name", "str"),
        ({"name": "Ä", "catalog": "tiny"}, "/name", "regex"),
        ({"name": "d"}, "/", "catalog"),
    ],
)
def test_a_body_that_does_not_fit_is_refused_with_the_place(world: World, body: object, where: str, word: str) -> None:
    response = world.ask("POST", "/api/v1/deployments", body)
    assert response.status_code == 400
    assert response.json()["where"] == where
    assert word in response.json()["detail"]


def test_the_place_of_a_fault_deep_in_a_body_is_a_json_pointer(world: World) -> None:
    world.site()
    response = world.ask("POST", "/api/v1/deployments/d/plans", {"changes": {"bind": {"web": ["n1", 2]}}})
    assert response.status_code == 400
    assert response.json()["where"] == "/changes/bind/.../1"


def test_a_query_parameter_that_is_not_known_is_refused(world: World) -> None:
    response = world.ask("GET", "/api/v1/nodes?colour=red")
    assert response.status_code == 400
    assert "colour" in response.json()["detail"]


def test_a_body_over_the_limit_is_refused(world: World) -> None:
    world.site()
    large = b"[" + b" " * (8 << 20) + b"]"
    assert world.ask("POST", "/api/v1/nodes", large).status_code == 413
    files = {"name": "big", "files": {**{"tasks.yaml": "[]"}, "x.txt": "x" * (9 << 20)}}
    assert world.ask("POST", "/api/v1/catalogs", files).status_code == 201


def test_an_unknown_address_and_a_wrong_method_are_problems_too(world: World) -> None:
    unknown = world.ask("GET", "/api/v1/nothing")
    assert (unknown.status_code, set(unknown.json())) == (404, PROBLEM)
    wrong = world.ask("PUT", "/api/v1/nodes/n1")
    assert (wrong.status_code, set(wrong.json())) == (405, PROBLEM)
    assert wrong.headers["allow"]


def test_a_fault_of_the_server_gives_nothing_away(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(**_: object) -> None:
        raise RuntimeError("the password is swordfish")

    monkeypatch.setattr(world.store.views, "racks", broken)
    response = world.ask("GET", "/api/v1/racks")
    assert response.status_code == 500
    assert "swordfish" not in response.text
    assert response.json()["request_id"] == response.headers["x-request-id"]


def test_a_store_that_is_away_is_503_and_worth_another_try(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def away(**_: object) -> None:
        raise StoreUnavailable("the database cannot be reached", mend="start it")

    monkeypatch.setattr(world.store.views, "racks", away)
    response = world.ask("GET", "/api/v1/racks")
    assert (response.status_code, response.headers["retry-after"]) == (503, "1")


def test_the_api_is_not_ready_while_the_store_is_not(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    async def reasons() -> list[str]:
        return ["a migration is missing"]

    monkeypatch.setattr(world.store.views, "ready", reasons)
    response = world.ask("GET", "/readyz", token="")
    assert (response.status_code, response.json()["reasons"]) == (503, ["a migration is missing"])


def test_a_rack_that_was_removed_is_refused_and_one_of_the_same_name_counts_at_once(world: World) -> None:
    beat = {"incarnation": "i"}

    def status(token: str) -> int:
        return world.ask("POST", "/api/v1/racks/r9/heartbeat", beat, token=token).status_code

    before = world.ask("POST", "/api/v1/racks", {"name": "r9"}).json()["token"]
    assert [status(before), status(before)] == [200, 200]
    assert world.ask("DELETE", "/api/v1/racks/r9").status_code == 204
    world.until(lambda: status(before) == 401)  # it is known with the news of it
    after = world.ask("POST", "/api/v1/racks", {"name": "r9"}).json()["token"]
    assert [status(after), status(before), status(after)] == [200, 401, 200]


def test_the_token_of_a_rack_is_looked_up_once(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    token = world.site()
    asked: list[str] = []
    look_up = world.store.views.rack_secret

    async def counted(rack: str) -> tuple[int, bytes] | None:
        asked.append(rack)
        return await look_up(rack)

    monkeypatch.setattr(world.store.views, "rack_secret", counted)
    for _ in range(3):
        assert world.ask("POST", "/api/v1/racks/r1/heartbeat", {"incarnation": "i"}, token=token).status_code == 200
    assert asked == ["r1"]
