"""`.warc.gz`: checked by warcio and FastWARC where they are there, and always member by member with gzip alone."""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import os
import zlib
from pathlib import Path
from typing import Any

import pytest

from atonce.errors import OutputError
from atonce.sink.row import Again, Body, Exchange, Row
from atonce.sink.warc import Warc

HEAD = b"HTTP/1.1 200 OK\r\nX-odd:  Spelling \r\nContent-Type: text/plain\r\n\r\n"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
REQUEST = b"GET /a HTTP/1.1\r\nHost: x.example\r\n\r\n"
BODIES = {0: b"text", 1: b"", 2: b"\x00\xff" * 40_000, 3: b"3\r\nchunks?\r\n" * 5}


def exchange(index: int, *, chunked: bool = False) -> Exchange:
    head = CHUNKED if chunked else HEAD
    return Exchange(f"http://x.example/{index}", REQUEST, head, "192.0.2.7", 1_700_000_000.25 + index, chunked)


def row(index: int, *, ok: bool = True, chunked: bool = False) -> Row:
    kind = None if ok else "http-4xx"
    return Row(
        index,
        index + 1,
        ok,
        {"url": f"u{index}", "error_class": kind},
        Body(BODIES[index % 4], "00/0.bin"),
        exchange(index, chunked=chunked),
    )


def failed(index: int) -> Row:
    """Without an answer."""
    return Row(index, index + 1, False, {"url": f"u{index}", "error_class": "dns"})


def rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in Path(f"{path}.jsonl").read_bytes().splitlines()]


def members(data: bytes) -> list[bytes]:
    found = []
    while data:
        unpack = zlib.decompressobj(wbits=31)
        found.append(unpack.decompress(data))
        assert unpack.eof
        data = unpack.unused_data
    return found


def taken_apart(member: bytes) -> tuple[dict[str, str], bytes]:
    head, _, rest = member.partition(b"\r\n\r\n")
    first, *lines = head.decode().split("\r\n")
    assert first == "WARC/1.1"
    headers: dict[str, str] = dict(line.split(": ", 1) for line in lines)  # type: ignore[misc]
    assert rest[int(headers["Content-Length"]) :] == b"\r\n\r\n"
    return headers, rest[:-4]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "out.warc.gz"


def write(path: Path, *found: Row, again: Again = False) -> None:
    with Warc(str(path), retry_failed=again) as out:
        out.write(found)


def test_response_and_request_of_each_page_where_its_row_says(path: Path) -> None:
    write(path, *map(row, range(4)), failed(9))
    data = path.read_bytes()
    assert taken_apart(members(data)[0])[0]["WARC-Type"] == "warcinfo"
    assert len(members(data)) == 1 + 2 * 4
    for found in rows(path)[:4]:
        index = found["index"]
        response, request = members(data[found["offset"] : found["offset"] + found["length"]])
        headers, block = taken_apart(response)
        assert headers["WARC-Type"] == "response"
        assert headers["WARC-Target-URI"] == f"http://x.example/{index}"
        assert headers["WARC-Date"] == f"2023-11-14T22:13:{20 + index}.250000Z"
        assert headers["WARC-IP-Address"] == "192.0.2.7"
        assert block == HEAD + BODIES[index]  # the head as it came
        for name, part in (("Block", block), ("Payload", BODIES[index])):
            digest = base64.b32encode(hashlib.sha1(part).digest()).decode()
            assert headers[f"WARC-{name}-Digest"] == f"sha1:{digest}"
        asked, block = taken_apart(request)
        assert (asked["WARC-Type"], asked["WARC-Concurrent-To"]) == ("request", headers["WARC-Record-ID"])
        assert block == REQUEST
    assert "offset" not in rows(path)[4]
    assert path.stat().st_mode & 0o777 == 0o600


def test_what_redirects_answered_is_behind_the_page(path: Path) -> None:
    moved = (exchange(7)._replace(head=b"HTTP/1.1 302 Found\r\nLocation: /0\r\n\r\n"), b"moved")
    chunks = (exchange(8, chunked=True), b"")
    first = row(0)
    assert first.exchange is not None
    write(path, first._replace(exchange=first.exchange._replace(hops=(moved, chunks))), row(1))
    data, [found, _] = path.read_bytes(), rows(path)
    records = [taken_apart(member)[0] for member in members(data[found["offset"] : found["offset"] + found["length"]])]
    assert [(record["WARC-Type"], record["WARC-Target-URI"][-2:]) for record in records] == [
        (kind, f"/{number}") for number in (0, 7, 8) for kind in ("response", "request")
    ]
    assert records[3]["WARC-Concurrent-To"] == records[2]["WARC-Record-ID"]
    archiveiterator = pytest.importorskip("warcio.archiveiterator")
    with path.open("rb") as file:
        read = [
            (record.http_headers.get_statuscode(), record.content_stream().read())
            for record in archiveiterator.ArchiveIterator(file, check_digests="raise")
            if record.rec_type == "response"
        ]
    assert read == [("200", BODIES[0]), ("302", b"moved"), ("200", b""), ("200", BODIES[1])]


def test_a_body_that_came_in_chunks_is_one_chunk(path: Path) -> None:
    write(path, row(0, chunked=True), row(1, chunked=True))
    _, first, _, second, _ = members(path.read_bytes())
    assert taken_apart(first)[1] == CHUNKED + b"4\r\ntext\r\n0\r\n\r\n"
    assert taken_apart(second)[1] == CHUNKED + b"0\r\n\r\n"


def test_warcio_finds_nothing_wrong(path: Path) -> None:
    archiveiterator = pytest.importorskip("warcio.archiveiterator")
    write(path, *map(row, range(4)), *(row(index, chunked=True) for index in range(4, 8)))
    payloads = []
    with path.open("rb") as file:
        for record in archiveiterator.ArchiveIterator(file, check_digests="raise"):
            body = record.content_stream().read()
            if record.rec_type == "response":
                payloads.append(body)
                assert record.http_headers.get_statuscode() == "200"
    assert payloads == [*BODIES.values()] * 2


def test_fastwarc_finds_nothing_wrong(path: Path) -> None:
    fastwarc = pytest.importorskip("fastwarc")
    write(path, *map(row, range(4)))
    payloads = []
    with path.open("rb") as file:
        responses = fastwarc.ArchiveIterator(file, record_types=fastwarc.WarcRecordType.response, verify_digests=True)
        payloads += [record.reader.read() for record in responses]
    assert payloads == [*BODIES.values()]


def test_what_a_kill_left_behind_the_last_row_is_cut(path: Path) -> None:
    write(path, row(0), row(1))
    before, index = path.read_bytes(), Path(f"{path}.jsonl").read_bytes()
    write(path, row(2))
    more, whole = path.read_bytes(), Path(f"{path}.jsonl").read_bytes()
    for kept in (len(before), len(before) + 1, len(before) + 300, len(more)):
        for torn in (b"", whole[len(index) : -20]):
            path.write_bytes(more[:kept])
            Path(f"{path}.jsonl").write_bytes(index + torn)
            with Warc(str(path)) as out:
                assert [number for number in range(4) if number in out.done] == [0, 1]
                assert path.read_bytes() == before
                out.write([row(3)])
            assert len(members(path.read_bytes())) == 1 + 2 * 3
            assert [each["index"] for each in rows(path)] == [0, 1, 3]


def test_a_row_whose_records_a_power_cut_took_is_taken_out(path: Path) -> None:
    write(path, row(0))
    before = path.read_bytes()
    write(path, row(1), row(3), failed(8))
    os.truncate(path, len(before) + 10)
    with Warc(str(path)) as out:
        assert [number for number in range(9) if number in out.done] == [0, 8]
    assert path.read_bytes() == before
    assert [each["index"] for each in rows(path)] == [0, 8]


@pytest.mark.parametrize("killed", ["before the archive", "in the first record", "before the first row"])
def test_a_run_that_was_killed_at_once(path: Path, killed: str) -> None:
    write(path, row(0))
    Path(f"{path}.jsonl").write_bytes(b"")
    if killed == "before the archive":
        path.unlink()
    elif killed == "in the first record":
        os.truncate(path, 30)
    write(path, row(1))
    assert [each["index"] for each in rows(path)] == [1]
    assert len(members(path.read_bytes())) == 3


def test_failures_that_run_again_keep_their_records_in_between(path: Path) -> None:
    write(path, row(0, ok=False), row(1), failed(2), row(3, ok=False))
    with Warc(str(path), retry_failed=frozenset({"http-4xx"})) as out:
        assert [number for number in range(4) if number in out.done] == [1, 2]
        out.write([row(0), row(3)])
    assert [each["index"] for each in rows(path)] == [1, 2, 0, 3]
    targets = [taken_apart(member)[0].get("WARC-Target-URI", "")[-1:] for member in members(path.read_bytes())]
    assert targets == ["", "0", "0", "1", "1", "0", "0", "3", "3"]
    for each in rows(path):
        if "offset" in each:
            member = members(path.read_bytes()[each["offset"] :])[0]
            assert taken_apart(member)[0]["WARC-Target-URI"] == f"http://x.example/{each['index']}"


def test_an_archive_without_its_rows_is_left_alone(path: Path) -> None:
    path.write_bytes(gzip.compress(b"WARC/1.0"))
    before = path.read_bytes()
    with pytest.raises(OutputError, match=r"is there, but not .*out.warc.gz.jsonl"):
        write(path, row(0))
    assert path.read_bytes() == before
    assert not Path(f"{path}.jsonl").exists()


def test_two_runs_on_one_archive(path: Path) -> None:
    with Warc(str(path)) as first:
        first.write([row(0)])
        before = path.read_bytes()
        with pytest.raises(OutputError, match="another run is writing"):
            Warc(str(path)).open()
        assert path.read_bytes() == before
    write(path, row(1))
    assert len(rows(path)) == 2


@pytest.mark.parametrize("room", [10_000, 20_000])
def test_a_full_disk_leaves_whole_records_and_their_rows(path: Path, room: int) -> None:
    """RLIMIT_FSIZE stands for the full disk."""
    resource = pytest.importorskip("resource")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    written = 0
    with Warc(str(path)) as out:
        resource.setrlimit(resource.RLIMIT_FSIZE, (room, limits[1]))
        try:
            with pytest.raises(OutputError, match="too big"):
                while True:
                    out.write([row(4 * written)])
                    written += 1
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert written > 5
    assert len(rows(path)) == written
    assert len(members(path.read_bytes())) == 1 + 2 * written
