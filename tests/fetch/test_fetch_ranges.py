"""Whether a part of a body is gone on with: decided from headers."""

from __future__ import annotations

import pytest

from atonce.fetch.ranges import Known, ask, fits, known_of, may_go_on, name_of
from atonce.fetch.request import Request

URL = "http://example.org/a"
OLD = {"last-modified": "Wed, 21 Oct 2015 07:28:00 GMT", "date": "Wed, 21 Oct 2015 07:29:00 GMT"}


@pytest.mark.parametrize(
    ("headers", "validator"),
    [
        ({"etag": '"one"'}, '"one"'),
        ({"etag": '""'}, '""'),
        ({"etag": 'W/"one"'}, None),
        ({"etag": 'W/"one"', **OLD}, None),  # where there is an ETag, no date may be sent
        ({"etag": "one"}, None),
        ({"etag": '"o ne"'}, None),
        ({"etag": '"\u00e9"'}, None),
        ({"etag": '"one"', "content-encoding": "gzip"}, None),
        ({"etag": '"one"', "content-encoding": "identity"}, '"one"'),
        ({"etag": '"one"', "accept-ranges": "none"}, None),
        (OLD, OLD["last-modified"]),
        ({**OLD, "date": "Wed, 21 Oct 2015 07:28:59 GMT"}, None),
        ({**OLD, "date": "soon"}, None),
        ({"last-modified": OLD["last-modified"]}, None),
        ({}, None),
    ],
)
def test_what_its_bytes_are_known_by(headers: dict[str, str], validator: str | None) -> None:
    known = known_of(URL, 200, headers)
    assert (known and known.validator) == validator
    assert known_of(URL, 206, headers) is None


@pytest.mark.parametrize(("said", "length"), [("1000", 1000), (" 7 ", 7), ("1, 1", None), ("-1", None), ("9" * 30, None)])
def test_the_length_of_the_whole(said: str, length: int | None) -> None:
    known = known_of(URL, 200, {"etag": '"one"', "content-length": said})
    assert known is not None
    assert known.length == length


def test_the_rest_is_asked_for_where_the_part_came_from() -> None:
    known = known_of(URL, 200, {"etag": '"one"'})
    assert known is not None
    assert ask(known, URL, 400) == (("Range", "bytes=400-"), ("If-Range", '"one"'))
    assert ask(known, f"{URL}?other", 400) == ()
    assert ask(known, URL, 0) == ()
    assert URL not in known.url


REST = {"content-range": "bytes 400-999/1000", "etag": '"one"', "content-length": "600"}


@pytest.mark.parametrize(
    ("changes", "good"),
    [
        ({}, True),
        ({"etag": None}, True),  # a server should send it, and many do not
        ({"content-length": None}, True),
        ({"etag": '"two"'}, False),
        ({"etag": 'W/"one"'}, False),
        ({"content-range": None}, False),
        ({"content-range": "bytes 401-999/1000"}, False),
        ({"content-range": "bytes 400-998/1000"}, False),
        ({"content-range": "bytes 400-999/*"}, False),
        ({"content-range": "bytes 400-1000/1001", "content-length": "601"}, False),
        ({"content-length": "599"}, False),
        ({"content-encoding": "gzip"}, False),
    ],
)
def test_whether_an_answer_is_the_rest(changes: dict[str, str | None], good: bool) -> None:
    headers = {name: value for name, value in {**REST, **changes}.items() if value is not None}
    assert fits(Known("", '"one"', False, 1000), 400, 206, headers) is good
    assert not fits(Known("", '"one"', False, 1000), 400, 200, headers)


def test_a_date_has_to_stay_the_same() -> None:
    known = Known("", OLD["last-modified"], True, None)
    headers = {"content-range": "bytes 400-999/1000"}
    assert fits(known, 400, 206, headers | OLD)
    assert not fits(known, 400, 206, {**headers, "last-modified": OLD["date"]})


@pytest.mark.parametrize(
    ("request_", "may"),
    [
        (Request(URL), True),
        (Request(URL, headers={"Authorization": "Bearer x"}), True),
        (Request(URL, "HEAD"), False),
        (Request(URL, "POST", body=b"x"), False),
        (Request(URL, headers={"range": "bytes=0-1"}), False),
        (Request(URL, headers={"If-None-Match": '"one"'}), False),
    ],
)
def test_which_requests_have_parts(request_: Request, may: bool) -> None:
    assert may_go_on(request_) is may


def test_a_part_has_the_name_of_its_request_and_shows_nothing_of_it() -> None:
    secret = Request(f"{URL}?token=s3cret", headers={"Authorization": "Bearer x"})
    assert name_of(secret) == name_of(Request(f"{URL}?token=s3cret", headers={"authorization": "Bearer x"}))
    assert name_of(secret) != name_of(Request(f"{URL}?token=s3cret"))
    assert name_of(secret).isalnum()
