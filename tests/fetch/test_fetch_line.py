"""A page's line, made at once, is the one that is made of its row."""

from __future__ import annotations

import json

import pytest

from atonce.fetch.line import line_of
from atonce.fetch.page import Page, shown_headers
from atonce.sink.row import Body, Row, encoded, read_head

HEAD = b'HTTP/1.1 200 OK\r\nContent-Type: text/html; charset=utf-8\r\nX-Name: caf\xe9 "quoted"\\\r\n\r\n'
LEADS = b"HTTP/2 404 \r\nlocation: http://h/?token=secret\r\n\r\n"
PLAIN = Page("http://h/a", "GET", "http://h/a", 200, head=HEAD, body=b"whole", bytes=5, complete=True, index=7, attempts=2)


@pytest.mark.parametrize(
    "page",
    [
        PLAIN._replace(started_at=1764530000.123456, first_byte_s=0.00123, total_s=1e-05, peer_ip="127.0.0.1"),
        PLAIN._replace(dns_s=0.5, connect_s=1.0, tls_s=0.25, total_s=3),
        PLAIN._replace(url="http://h/?key=secret&b=1", final_url="http://other/?b=http%3A%2F%2Fh%2F%3Ftoken%3Dsecret"),
        PLAIN._replace(status=404, error_class="http-4xx", error='the server said "no"\n\N{SNOWMAN}', head=LEADS),
        PLAIN._replace(error="a lone \udcff surrogate"),
        PLAIN._replace(body=b"", bytes=0, head=b"HTTP/1.0 200 OK\r\n\r\n"),
    ],
    ids=["plain", "times", "secrets", "failed", "surrogate", "empty"],
)
def test_a_line_is_what_its_row_would_be(page: Page) -> None:
    row = Row(7, 0x1A, page.ok, {**page.row(), "headers": shown_headers(page)}, Body(page.body, "3f/a.html"))
    place = {"path": "3f/a.html", "bytes": len(page.body)}
    line = line_of(page, 7, 0x1A, "3f/a.html", len(page.body), page.sha256 or "")
    assert list(json.loads(line).items()) == list(json.loads(encoded(row, row.fields, place)).items())
    assert line.endswith(b"}\n")
    assert read_head(line) == (7, 0x1A, page.ok, "3f/a.html", len(page.body), page.error_class, 0)
