"""Webhooks: signed POST requests, as the Standard Webhooks specification 1.0 says."""

from __future__ import annotations

import time

import httpx

from rackwright.core import signing
from rackwright.core.errors import Permanent, Retryable
from rackwright.core.hooks import Message, Subscription

ANSWER = 200
"""Characters of an answer that are kept where it says no."""


class WebhookCourier:
    """Posts messages. ``key`` is the installation's, from which the secret of each webhook is derived."""

    limit = 10.0

    def __init__(self, key: bytes) -> None:
        self._key = key
        self._http = httpx.AsyncClient(timeout=self.limit, follow_redirects=False, trust_env=True)

    async def close(self) -> None:
        """Let the connections go."""
        await self._http.aclose()

    async def carry(self, subscription: Subscription, message: Message, catalog: dict[str, str]) -> None:
        """Post one message. Any answer of 2xx takes it; raises Retryable for every other and for none."""
        body = message.body()
        if not signing.fits(self._key, subscription.salt):
            raise Permanent(
                "this conductor has another key for webhooks than the api that made this one",
                mend="give all hosts the same webhook.key, or RACKWRIGHT_WEBHOOK_KEY",
            )
        secret = signing.secret(self._key, subscription.salt)
        headers = signing.headers(secret, f"msg_{message.key}", int(time.time()), body)
        try:
            answer = await self._http.post(
                subscription.target, content=body, headers={**headers, "content-type": "application/json"}
            )
        except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
            raise Retryable(f"it cannot be reached: {str(error) or type(error).__name__}") from error
        if not answer.is_success:
            said = f": {answer.text[:ANSWER]}" if answer.text else ""
            raise Retryable(f"it answered {answer.status_code}{said}")
