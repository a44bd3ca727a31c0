"""What the endpoints work with: handed in once, by the command that starts the process."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

from rackwright.api.news import News
from rackwright.api.rack_tokens import RackTokens
from rackwright.core.ports import Store
from rackwright.core.views import Views
from rackwright.engine.library import CatalogLibrary
from rackwright.engine.log_keeping import LogKeeper
from rackwright.engine.presence import Presence
from rackwright.engine.rack_requests import RackRequests
from rackwright.engine.sealing import Seal
from rackwright.store.images import ImageFolder


@dataclass(frozen=True, kw_only=True)
class Services:
    """The store for changes, the views for reading, the catalogs, the news, the presence of this process among all, and
    the clock (seconds since the epoch)."""

    store: Store
    views: Views
    catalogs: CatalogLibrary
    news: News
    presence: Presence
    lease: float = 30.0
    """Seconds for which a claim is a rack's without a heartbeat."""
    clock: Callable[[], float] = time.time
    webhook_key: bytes | None = None
    """From which the secrets of webhooks are derived; None: webhooks cannot be added here."""
    seal: Seal | None = None
    """Seals passwords; None: none can be set here."""
    images: ImageFolder | None = None
    """Where images are kept; None: nowhere."""

    @cached_property
    def rack_tokens(self) -> RackTokens:
        """Tells racks by their tokens."""
        return RackTokens(self.views, self.news)

    @cached_property
    def logs(self) -> LogKeeper:
        """Keeps the logs that racks bring."""
        return LogKeeper(self.views)

    @cached_property
    def racks(self) -> RackRequests:
        """What racks ask for goes by way of this: requests that come at the same time are gathered."""
        return RackRequests(self.store, self.catalogs, self.clock, self.lease)
