"""Power by HTTP calls to a service of one's own: a switched socket, a home-grown controller.

``POST address`` with ``{"action": ..}`` or ``{"boot_device": .., "once": .., "uefi": ..}``; ``GET address`` answers
``{"power": "on" | "off" | "unknown", ...}``. The password is sent as ``Authorization: Bearer``.
"""

from __future__ import annotations

from typing import Any

import httpx

from rackwright.core.errors import Permanent, Retryable
from rackwright.core.power import Action, Device, PowerSetting, PowerState

LIMIT = 20.0
"""Seconds for one request."""
ANSWER = 200
"""Characters of an answer that are told where it says no."""


class WebhookPower:
    """One machine behind such a service. ``address`` is the machine's URL there; options: ``verify`` (true, false, or
    the path of a CA file), ``headers``."""

    def __init__(self, setting: PowerSetting) -> None:
        self._url = setting.address
        headers = {str(name): str(value) for name, value in setting.options.get("headers", {}).items()}
        if setting.password:
            headers["authorization"] = f"Bearer {setting.password}"
        self._http = httpx.AsyncClient(
            headers=headers, timeout=LIMIT, verify=setting.options.get("verify", True), trust_env=False
        )

    async def state(self) -> PowerState:
        """See the port."""
        said = (await self.describe()).get("power")
        return said if said in ("on", "off") else "unknown"

    async def act(self, action: Action) -> str:
        """See the port."""
        await self._ask("POST", {"action": action})
        return ""

    async def set_boot_device(self, device: Device, *, once: bool, uefi: bool | None) -> None:
        """See the port."""
        await self._ask("POST", {"boot_device": device, "once": once, "uefi": uefi})

    async def describe(self) -> dict[str, Any]:
        """See the port: whatever the service answers."""
        answer = await self._ask("GET")
        try:
            said = answer.json()
        except ValueError:
            said = None
        if not isinstance(said, dict):
            raise Permanent("the answer is no JSON object", where=self._url, mend="see the reference of power drivers")
        return said

    async def set_bios(self, settings: dict[str, Any]) -> None:
        """See the port."""
        await self._ask("POST", {"bios": settings})

    async def close(self) -> None:
        """See the port."""
        await self._http.aclose()

    async def _ask(self, method: str, body: dict[str, Any] | None = None) -> httpx.Response:
        try:
            answer = await self._http.request(method, self._url, json=body)
        except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
            raise Retryable(f"it cannot be reached: {str(error) or type(error).__name__}", where=self._url) from error
        if answer.is_success:
            return answer
        text = f"it answered {answer.status_code}: {answer.text[:ANSWER]}"
        if answer.status_code in (408, 425, 429) or answer.status_code >= 500:
            raise Retryable(text, where=self._url)
        raise Permanent(text, where=self._url, mend="check the URL and the password")
