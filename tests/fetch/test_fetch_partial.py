"""Parts of bodies in their files: kept, gone on with, and not trusted where that could be wrong."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from atonce.fetch import partial
from atonce.fetch.partial import Part, Partials
from atonce.fetch.request import Request

URL = "http://example.org/a"
WHOLE = {"etag": '"one"', "content-length": "10"}
REST = {"etag": '"one"', "content-range": "bytes 4-9/10", "content-length": "6"}


@pytest.fixture
def partials(tmp_path: Path) -> Partials:
    return Partials(str(tmp_path / "parts"))


def whole(part: Part, body: bytes) -> bytes:
    """What an attempt makes of an answer."""
    return b"".join(part.before()) + body if part.is_rest else body


def part_of(partials: Partials) -> Part:
    part = partials.of(Request(URL))
    assert part is not None
    return part


@pytest.fixture
def cut(partials: Partials) -> Path:
    """Four bytes of ten are there."""
    part = part_of(partials)
    assert part.headers(URL) == ()
    assert part.answered(URL, 200, WHOLE)
    part.add(b"01")
    part.add(b"23")
    assert part.keep()
    [file] = Path(partials.folder).iterdir()
    return file


def asked(part: Part) -> str:
    return dict(part.headers(URL)).get("Range", "")


def test_the_rest_is_joined(partials: Partials, cut: Path) -> None:
    part = part_of(partials)
    assert part.headers(URL) == (("Range", "bytes=4-"), ("If-Range", '"one"'))
    assert part.answered(URL, 206, REST)
    part.add(b"456789")
    assert whole(part, b"456789") == b"0123456789"
    part.drop()
    assert not cut.exists()


def test_a_rest_that_is_cut_too_is_gone_on_with(partials: Partials, cut: Path) -> None:
    part = part_of(partials)
    asked(part)
    part.answered(URL, 206, REST)
    part.add(b"45")
    assert part.keep()
    part = part_of(partials)
    assert asked(part) == "bytes=6-"
    part.answered(URL, 206, {"content-range": "bytes 6-9/10"})
    assert whole(part, b"6789") == b"0123456789"


def test_nothing_new_is_no_progress(partials: Partials, cut: Path) -> None:
    part = part_of(partials)
    asked(part)
    part.answered(URL, 206, REST)
    assert not part.keep()
    assert asked(part_of(partials)) == "bytes=4-"


def test_of_one_that_is_whole_the_last_byte_is_asked_for(partials: Partials) -> None:
    part = part_of(partials)
    part.answered(URL, 200, WHOLE)
    part.add(b"0123456789")
    part.keep()
    part = part_of(partials)
    assert asked(part) == "bytes=9-"
    assert part.answered(URL, 206, {"content-range": "bytes 9-9/10"})
    assert whole(part, b"9") == b"0123456789"


def test_another_whole_takes_its_place(partials: Partials, cut: Path) -> None:
    part = part_of(partials)
    asked(part)
    assert part.answered(URL, 200, {"etag": '"two"'})
    part.add(b"abc")
    assert whole(part, b"abcdef") == b"abcdef"
    part.keep()
    assert part_of(partials).headers(URL) == (("Range", "bytes=3-"), ("If-Range", '"two"'))


@pytest.mark.parametrize(("status", "headers"), [(416, {}), (206, {}), (206, {**REST, "etag": '"two"'})])
def test_what_is_not_the_rest_is_asked_for_anew(partials: Partials, cut: Path, status: int, headers: dict[str, str]) -> None:
    part = part_of(partials)
    asked(part)
    assert not part.answered(URL, status, headers)
    assert part.headers(URL) == ()
    assert not cut.exists()


@pytest.mark.parametrize("status", [302, 404, 503])
def test_another_answer_leaves_it_alone(partials: Partials, cut: Path, status: int) -> None:
    part = part_of(partials)
    asked(part)
    assert part.answered(URL, status, {"etag": '"two"'})
    part.add(b"sorry")
    assert whole(part, b"sorry") == b"sorry"
    part.keep()
    assert asked(part_of(partials)) == "bytes=4-"


def test_one_attempt_at_a_time(partials: Partials, cut: Path) -> None:
    part = part_of(partials)
    other = part_of(partials)
    assert (asked(part), asked(other)) == ("bytes=4-", "")
    other.answered(URL, 200, WHOLE)
    other.add(b"0" * partial.PIECE)
    assert not other.keep()
    assert cut.exists()
    part.close()
    assert asked(part_of(partials)) == "bytes=4-"


def test_what_a_power_cut_may_have_spoilt_is_not_trusted(
    partials: Partials, cut: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    part = part_of(partials)
    asked(part)
    part.answered(URL, 206, REST)
    part.add(b"4" * partial.PIECE)  # written, and not synced
    part.close()
    monkeypatch.setattr(partial, "boot_id", lambda: "f" * 36)
    assert asked(part_of(partials)) == ""


def test_what_was_synced_is_trusted_after_a_start(partials: Partials, cut: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(partial, "boot_id", lambda: "f" * 36)
    assert asked(part_of(partials)) == "bytes=4-"


def test_written_as_it_comes(partials: Partials) -> None:
    part = part_of(partials)
    part.answered(URL, 200, {"etag": '"one"'})
    part.add(b"x" * partial.PIECE)
    [file] = Path(partials.folder).iterdir()
    assert file.stat().st_size > partial.PIECE
    assert file.stat().st_mode & 0o777 == 0o600
    part.close()  # as a kill leaves it
    assert asked(part_of(partials)) == f"bytes={partial.PIECE}-"


def test_without_going_on_it_is_written_when_it_is_kept(partials: Partials) -> None:
    part = part_of(Partials(partials.folder, go_on=False))
    part.answered(URL, 200, {"etag": '"one"'})
    part.add(b"x" * partial.PIECE)
    assert not Path(partials.folder).exists()
    assert part.keep()
    assert asked(part_of(partials)) == f"bytes={partial.PIECE}-"


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"no JSON",
        b"[]\n0123",
        b"{}\n0123",
        b'{"boot":"' + b"-" * 36 + b'","url":"","validator":"","dated":false,"length":3}\n0123',
        b'{"boot":"' + b"-" * 36 + b'","url":"","validator":"","dated":false}\n0123',
        b'{"boot":"' + b"-" * 36 + b'","url":"","validator":"","dated":false,"length":10}\n',
    ],
)
def test_a_file_that_is_none_is_removed(partials: Partials, cut: Path, content: bytes) -> None:
    cut.write_bytes(content)
    assert asked(part_of(partials)) == ""
    assert not cut.exists()


def test_a_link_is_not_followed(partials: Partials, cut: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    cut.rename(elsewhere)
    os.symlink(elsewhere, cut)
    assert asked(part_of(partials)) == ""
    assert elsewhere.read_bytes().endswith(b"0123")


def test_no_secret_is_in_it(partials: Partials) -> None:
    request = Request("http://me:s3cret@example.org/a?token=s3cret")
    part = partials.of(request)
    assert part is not None
    part.answered(request.url, 200, {"etag": '"one"'})
    part.add(b"0123")
    part.keep()
    [file] = Path(partials.folder).iterdir()
    assert b"s3cret" not in file.read_bytes()
    assert set(json.loads(file.read_bytes().splitlines()[0])) == {"boot", "url", "validator", "dated", "length"}


def test_a_full_disk_costs_the_part_alone(partials: Partials, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(fd: int, data: bytes) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(partial, "write_all", full)
    part = part_of(partials)
    part.answered(URL, 200, {"etag": '"one"'})
    part.add(b"x" * partial.PIECE)
    part.add(b"y" * partial.PIECE)
    assert whole(part, b"xy") == b"xy"
    assert not part.keep()
