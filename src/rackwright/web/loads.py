"""The page on which loads are followed: ``/loads``."""

from __future__ import annotations

import base64
import functools
import hashlib
import re

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from rackwright.load.report.page import live_page

_INLINE = re.compile(r"<(script|style)>(.*?)</\1>", re.DOTALL)


async def loads(request: Request) -> Response:
    """The page; it holds nothing secret, so everybody may have it."""
    page, policy = _page()
    headers = {"Content-Security-Policy": policy, "Cache-Control": "no-cache", "Referrer-Policy": "no-referrer"}
    return HTMLResponse(page, headers=headers)


@functools.cache
def _page() -> tuple[str, str]:
    """The page and its policy (Content Security Policy, level 3): only its own scripts and styles, by their digests,
    and only this server is asked."""
    page = live_page()
    allowed: dict[str, list[str]] = {"script": [], "style": []}
    for kind, text in _INLINE.findall(page):
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        allowed[kind].append(f"'sha256-{digest}'")
    own = "; ".join(f"{kind}-src {' '.join(digests)}" for kind, digests in allowed.items())
    nobody = "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    return page, f"default-src 'none'; connect-src 'self'; img-src data:; {own}; {nobody}"


routes = [Route("/loads", loads, methods=["GET"])]
