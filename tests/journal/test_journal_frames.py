"""Frames in a file that was cut or changed: what is read is a beginning of what was written, or it is refused."""

from __future__ import annotations

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atonce.sink.frames import Damaged, framed, frames

BODIES = st.lists(st.binary(max_size=40), min_size=1, max_size=6)


def read(data: bytes, head: int = 100) -> list[bytes]:
    return [frame.head for frame in frames(io.BytesIO(data), len(data), head)]


@given(BODIES)
def test_what_was_written_is_read(bodies: list[bytes]) -> None:
    data = b"".join(map(framed, bodies))
    assert read(data) == bodies
    ends = [frame.end for frame in frames(io.BytesIO(data), len(data), 0)]
    assert ends[-1] == len(data)
    for frame, body in zip(frames(io.BytesIO(data), len(data), 3), bodies, strict=True):
        assert (data[frame.at : frame.at + frame.length], frame.head) == (body, body[:3])


def test_a_large_body_is_checked_in_pieces() -> None:
    body = bytes(range(256)) * 20_000
    assert read(framed(body), 5) == [body[:5]]
    data = bytearray(framed(body) + framed(b"next"))
    data[4_000_000] ^= 1
    with pytest.raises(Damaged):
        read(bytes(data))


@given(BODIES, st.data())
def test_a_torn_file_gives_what_is_whole(bodies: list[bytes], data: st.DataObject) -> None:
    whole = b"".join(map(framed, bodies))
    cut = data.draw(st.integers(0, len(whole)))
    found = read(whole[:cut])
    assert found == bodies[: len(found)]
    assert sum(len(framed(body)) for body in bodies[: len(found) + 1]) > cut or found == bodies  # all that is whole


@given(BODIES, st.integers(1, 5000))
def test_nul_bytes_at_the_end_are_torn(bodies: list[bytes], count: int) -> None:
    """As a power cut leaves them: the file was made longer, the data never came."""
    assert read(b"".join(map(framed, bodies)) + bytes(count)) == bodies


@pytest.mark.parametrize("at", range(16))
def test_a_changed_length_is_not_taken_for_a_torn_end(at: int) -> None:
    """All that follows would be cut."""
    data = bytearray(framed(b"first") + framed(b"second"))
    data[at] ^= 0x40
    with pytest.raises(Damaged):
        read(bytes(data))


@given(BODIES, st.data())
def test_a_changed_file_never_gives_what_was_not_written(bodies: list[bytes], data: st.DataObject) -> None:
    whole = bytearray(b"".join(map(framed, bodies)))
    at = data.draw(st.integers(0, len(whole) - 1))
    change = data.draw(st.binary(min_size=1, max_size=8))
    whole[at : at + len(change)] = bytes(
        a ^ b for a, b in zip(change, whole[at : at + len(change)].ljust(8, b"\0"), strict=False)
    )
    try:
        found = read(bytes(whole))
    except Damaged as damage:
        found = read(bytes(whole[: damage.at]))
    assert found == bodies[: len(found)]
