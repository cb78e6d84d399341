"""Bytes in a file, with their length before and a checksum after them, so that what is torn is told from what is whole.

    frame = length of the body (8 bytes), the same with every bit inverted (8), the body, the CRC-32 of all that (4)

The length is there twice since one that was damaged could otherwise pass for a frame torn at the end of the file, and all that
follows it would be cut.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import BinaryIO, NamedTuple
from zlib import crc32

__all__ = ["INVERTED", "LENGTHS", "Damaged", "Frame", "framed", "frames"]

# How the two lengths are packed; `length ^ INVERTED` is the second.
LENGTHS = "<QQ"
INVERTED = (1 << 64) - 1
_LENGTHS = struct.Struct(LENGTHS)
_CHECK = 4
# The CRC-32 of whatever is followed by its own CRC-32 (in this byte order).
_WHOLE = 0x2144DF1C
_CHUNK = 1 << 20


class Damaged(Exception):
    """What is at this place was not torn by a crash: the file was changed."""

    def __init__(self, at: int) -> None:
        super().__init__(at)
        self.at = at


class Frame(NamedTuple):
    """A whole frame: where its body is, how long that is, its first bytes, and where the frame ends."""

    at: int
    length: int
    head: bytes
    end: int


def framed(body: bytes) -> bytes:
    """One frame."""
    data = _LENGTHS.pack(len(body), len(body) ^ INVERTED) + body
    return data + crc32(data).to_bytes(_CHECK, "little")


def frames(file: BinaryIO, size: int, head: int) -> Iterator[Frame]:
    """The whole frames from where `file` stands to where it is torn or ends, at `size`; of each body the first `head` bytes.

    Raises `Damaged` where something else is wrong. Torn: the end of the file comes before that of the frame, or nothing but
    NUL bytes does, or the last frame is not what was written (the latter two as a power cut leaves them).
    """
    at = file.tell()
    while size - at >= _LENGTHS.size:
        lengths = file.read(_LENGTHS.size)
        length, inverted = _LENGTHS.unpack(lengths)
        if length ^ inverted != INVERTED:
            if lengths.strip(b"\0") or any(chunk.strip(b"\0") for chunk in _chunks(file, size - at - _LENGTHS.size)):
                raise Damaged(at)
            return
        start, end = at + _LENGTHS.size, at + _LENGTHS.size + length + _CHECK
        if end > size:
            return
        rest = file.read(min(end - start, _CHUNK))
        found = crc32(rest, crc32(lengths))
        if len(rest) < end - start:
            for chunk in _chunks(file, end - start - len(rest)):
                found = crc32(chunk, found)
        if found != _WHOLE:
            if end == size:
                return
            raise Damaged(at)
        yield Frame(start, length, rest[: min(head, length)], end)
        at = end


def _chunks(file: BinaryIO, size: int) -> Iterator[bytes]:
    while size > 0 and (chunk := file.read(min(size, _CHUNK))):
        size -= len(chunk)
        yield chunk
