from __future__ import annotations

import hashlib
import json
import pickle

import pytest

from atonce.fetch import Page
from atonce.fetch.names import file_name, suffix
from atonce.fetch.page import headers_of

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/html; charset=latin-1\r\nSet-Cookie: a\r\nset-cookie: b\r\n\r\n"
PAGE = Page("http://h/?token=abc", "GET", "http://h/?token=abc", 200, head=HEAD, body=b"\xe4", bytes=1, complete=True, index=3)

# The row schema that all outputs share; `path`, `body` and `headers` are theirs to add.
ROW = """index url method final_url status ok error_class error attempts started_at dns_s connect_s tls_s first_byte_s
total_s http_version peer_ip content_type bytes sha256 complete"""


def test_a_row_is_the_schema_without_secrets() -> None:
    row = PAGE.row()
    assert list(row) == ROW.split()
    assert row["url"] == row["final_url"] == "http://h/?token=***"
    assert "abc" not in json.dumps(row)
    assert "abc" not in repr(PAGE)
    assert row["ok"] is True
    assert row["content_type"] == "text/html; charset=latin-1"
    assert row["sha256"] == hashlib.sha256(b"\xe4").hexdigest()


def test_a_failure_is_a_page_too() -> None:
    page = Page("http://h/", "GET", "http://h/", error_class="dns", error="no such name", bytes=7)
    assert not page.ok
    assert page.sha256 is None
    assert repr(page) == "<Page -1 GET http://h/ dns: no such name, 7 bytes>"
    assert pickle.loads(pickle.dumps(page)) == page


def test_headers_are_as_they_came() -> None:
    assert PAGE.headers[1:] == (("Set-Cookie", "a"), ("set-cookie", "b"))
    assert headers_of(b"HTTP/1.0 200\nA:  b \n c\r\nD\r\nE: f:g\r\n\r\n") == (("A", "b c"), ("E", "f:g"))
    assert headers_of(b"") == ()


@pytest.mark.parametrize(
    ("content_type", "body", "text"),
    [
        ("text/html; charset=latin-1", b"\xe4", "ä"),
        ('text/html; charset="UTF-16"', "ä".encode("utf-16"), "ä"),
        ("text/html", b"\xc3\xa4", "ä"),
        ("text/html", b"\xe4", "\ufffd"),
        ("text/html; charset=made-up", b"a", "a"),
        ("text/html; charset=base64", b"a", "a"),
    ],
)
def test_text(content_type: str, body: bytes, text: str) -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Type: %b\r\n\r\n" % content_type.encode()
    assert PAGE._replace(head=head, body=body).text == text


def test_names_on_disk_are_ours() -> None:
    assert file_name(12, "http://h/../../etc/passwd", "text/html; charset=x") == "c2/00000012-c2608598cf.html"
    assert file_name(12, "http://h/a") != file_name(12, "http://h/b")
    assert suffix("Application/JSON") == ".json"
    for strange in (None, "", "text/../../x", "x" * 1000, "text/html/../.."):
        assert suffix(strange) == ".bin"
