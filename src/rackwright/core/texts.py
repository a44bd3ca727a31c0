"""Texts of catalogs on their way to racks: every claim names some, and each is sent to a rack once.

A rack says with its request which texts it knows, by digest. The answer holds those that it lacks, each once, however
many claims name it. A rack that says nothing of the kind gets every text with every claim.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Collection, Mapping

from msgspec import structs

from rackwright.core.messages import Claim, Claims

MOST = 500
"""Texts that a rack remembers."""


def packed(claims: Claims, known: Collection[str] | None) -> Claims:
    """These claims with digests in place of texts, and the texts that are not ``known``; None: as they are."""
    if known is None or not any(claim.files for claim in claims.items):
        return claims
    texts: dict[str, str] = {}
    items = []
    for claim in claims.items:
        named = {path: _digest(text) for path, text in claim.files.items()}
        texts |= {digest: claim.files[path] for path, digest in named.items() if digest not in known}
        items.append(structs.replace(claim, files={}, texts=named) if named else claim)
    return structs.replace(claims, items=items, texts=texts)


class Texts:
    """The texts that a rack remembers: those that were sent last, at most ``most``."""

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._texts: dict[str, str] = {}

    def known(self) -> Mapping[str, str]:
        """The texts by digest as they are now: what is told to the region, and what its answer is opened with."""
        return dict(self._texts)

    def opened(self, claims: Claims, known: Mapping[str, str]) -> Claims:
        """Claims with their texts; ``known`` was told with the request. Raises KeyError where a text is missing."""
        if not any(claim.texts for claim in claims.items):
            return claims
        texts = {**known, **claims.texts}
        self._texts |= claims.texts
        for digest in list(self._texts)[: -self._most]:
            del self._texts[digest]
        return structs.replace(claims, items=[_opened(claim, texts) for claim in claims.items], texts={})


def _opened(claim: Claim, texts: Mapping[str, str]) -> Claim:
    files = {path: texts[digest] for path, digest in claim.texts.items()}
    return structs.replace(claim, files={**claim.files, **files}, texts={})


@functools.lru_cache(maxsize=4096)
def _digest(text: str) -> str:
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=12).hexdigest()
