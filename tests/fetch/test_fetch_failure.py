from __future__ import annotations

import pickle
import re

import pytest

from atonce.errors import ItemError
from atonce.fetch import FetchError, Page, failure
from atonce.fetch.failure import CLASSES, class_of, is_retryable, retry_after, status_worth_retrying, worth_retrying

NOW = 1_000_000_000.0  # Sun, 09 Sep 2001 01:46:40 GMT


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("0", 0.0),
        ("120", 120.0),
        (" 7 ", 7.0),
        ("9" * 400, 999999999999999999.0),
        ("Sun, 09 Sep 2001 01:47:40 GMT", 60.0),
        ("Sunday, 09-Sep-01 01:47:40 GMT", 60.0),
        ("Sun Sep  9 01:47:40 2001", 60.0),
        ("Sat, 08 Sep 2001 00:00:00 GMT", 0.0),
        ("Sun, 09 Sep 9999 01:47:40 GMT", 252392457660.0),
        (None, None),
        ("", None),
        ("-5", None),
        ("1.5", None),
        ("soon", None),
        ("٣", None),
        ("Sun, 99 Sep 2001 01:47:40 GMT", None),
        ("Sun, 09 Sep 99999999999 01:47:40 GMT", None),
    ],
)
def test_retry_after(value: str | None, seconds: float | None) -> None:
    assert retry_after(value, NOW) == seconds


@pytest.mark.parametrize(
    ("status", "asked", "kind"),
    [
        (200, None, None),
        (304, None, None),
        (400, None, "http-4xx"),
        (429, None, "throttled"),
        (499, "5", "http-4xx"),
        (500, "5", "http-5xx"),
        (503, None, "http-5xx"),
        (503, "5", "throttled"),
    ],
)
def test_class_of(status: int, asked: str | None, kind: str | None) -> None:
    assert class_of(status, asked) == kind


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("status", [400, 404, 408, 425, 429, 500, 502, 503])
def test_statuses_worth_another_try(status: int, method: str) -> None:
    assert status_worth_retrying(status, method) == (status in (408, 425, 429) or (status >= 500 and method == "GET"))


@pytest.mark.parametrize("kind", CLASSES)
@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("sent", [False, True])
@pytest.mark.parametrize("begun", [False, True])
def test_failures_worth_another_try(kind: str, method: str, sent: bool, begun: bool) -> None:
    again = worth_retrying(kind, method, sent=sent, begun=begun)
    assert again == (kind in ("dns", "connect", "timeout-connect") and not begun and (method == "GET" or not sent))


def test_every_class_is_explained() -> None:
    rows = [line for line in (failure.__doc__ or "").splitlines() if line.startswith("| `")]
    assert {name for row in rows for name in re.findall(r"`([a-z0-9-]+)`", row.split("|")[1])} == set(CLASSES)


def test_an_error_travels() -> None:
    page = Page("http://h/", "GET", "http://h/", error_class="connect", error="lost")
    error = FetchError("connect: lost", page=page, retryable=True, retry_after=2.5, item="http://h/")
    again = pickle.loads(pickle.dumps(error))
    assert isinstance(again, ItemError)
    assert (again.page, again.retryable, again.retry_after, str(again)) == (page, True, 2.5, str(error))
    assert is_retryable(again)
    assert not is_retryable(FetchError("no"))
    assert not is_retryable(ValueError())


@pytest.mark.parametrize("kind", CLASSES)
def test_who_says_that_the_whole_host_does_not_answer(kind: str) -> None:
    page = Page("http://h/", "GET", "http://h/", error_class=kind, error="no")
    nobody = kind in ("dns", "connect", "tls", "timeout-connect", "timeout-first-byte")
    assert FetchError("no", page=page).unreachable == nobody


@pytest.mark.parametrize(("status", "gateway"), [(500, False), (502, True), (503, True), (504, True), (404, False)])
def test_a_gateway_may_be_all_that_answers(status: int, gateway: bool) -> None:
    page = Page("http://h/", "GET", "http://h/", status, error_class="http-5xx", error="no")
    assert FetchError("no", page=page).unreachable == gateway
    assert not FetchError("no").unreachable
