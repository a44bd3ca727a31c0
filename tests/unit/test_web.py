"""The pages: what everybody may have, and what their policy lets them do."""

from __future__ import annotations

import base64
import hashlib
import re

import httpx
import pytest

from rackwright.api.app import build
from rackwright.web import loads
from tests.unit.api_world import World


@pytest.fixture
async def page() -> httpx.Response:
    world = World()
    try:
        transport = httpx.ASGITransport(build(world.services, loads.routes))
        async with httpx.AsyncClient(transport=transport, base_url="http://rackwright.test") as client:
            return await client.get("/loads")
    finally:
        world.close()


async def test_the_page_of_loads_needs_no_token_and_holds_nothing_but_itself(page: httpx.Response) -> None:
    assert page.status_code == 200
    assert re.findall(r"(?:src|href)=\"(?!#)([^\"]*)\"", page.text) == []


async def test_only_the_page_s_own_scripts_and_styles_are_allowed(page: httpx.Response) -> None:
    policy = dict(part.strip().split(" ", 1) for part in page.headers["content-security-policy"].split(";"))
    assert policy["default-src"] == "'none'"
    assert policy["connect-src"] == "'self'"
    for kind in ("script", "style"):
        texts = re.findall(rf"<{kind}>(.*?)</{kind}>", page.text, re.DOTALL)
        digests = [base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in texts]
        assert policy[f"{kind}-src"].split() == [f"'sha256-{digest}'" for digest in digests]
