"""Texts of catalogs in claims: a rack is sent each once."""

from __future__ import annotations

import pytest

from rackwright.core.messages import Claim, Claims
from rackwright.core.texts import Texts, packed

ONE, TWO = "print(1)\n" * 100, "print(2)\n" * 100


def claim(id: int, **files: str) -> Claim:
    return Claim(
        id=id, attempt=1, revision=0, deployment="d", task="t", scope="n", jig="script", files=files, timeout=1
    )


def given() -> Claims:
    return Claims([claim(1, a=ONE), claim(2, a=ONE, b=TWO), claim(3)])


def test_a_text_that_several_claims_name_is_sent_once() -> None:
    sent = packed(given(), ())
    assert sorted(sent.texts.values()) == [ONE, TWO]
    assert [one.files for one in sent.items] == [{}, {}, {}]


def test_what_is_opened_is_what_was_packed() -> None:
    assert Texts().opened(packed(given(), ()), {}) == given()


def test_a_text_that_is_known_is_not_sent_again() -> None:
    texts = Texts()
    texts.opened(packed(given(), ()), {})
    known = texts.known()
    again = packed(given(), tuple(known))
    assert again.texts == {}
    assert texts.opened(again, known) == given()


def test_a_text_that_was_known_with_the_request_opens_the_answer_whatever_came_meanwhile() -> None:
    texts = Texts(most=2)
    texts.opened(packed(given(), ()), {})
    known = texts.known()
    texts.opened(packed(Claims([claim(4, c="x", d="y")]), ()), {})
    assert not set(known) & set(texts.known())
    assert texts.opened(packed(given(), tuple(known)), known) == given()


def test_a_rack_that_knows_of_no_digests_gets_every_text_with_every_claim() -> None:
    assert packed(given(), None) == given()


def test_an_answer_that_lacks_a_text_is_not_opened() -> None:
    with pytest.raises(KeyError):
        Texts().opened(Claims(packed(given(), ()).items), {})
