"""Text from anywhere, with nothing in it that steers a terminal, turns the direction of reading or breaks a line: `plain`."""

from __future__ import annotations

import re
import reprlib
from typing import Any

__all__ = ["label", "line", "plain", "sayable"]

WIDTH = 120  # characters of a label
_REPR = reprlib.Repr()  # an item may be huge, and a display asks for it several times a second
_REPR.maxstring = _REPR.maxother = WIDTH

# Items and errors come from anywhere: what is not for printing is shown as an escape, but for line ends and tabs. Surrogates
# cannot be written as UTF-8.
_CONTROLS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def plain(text: str) -> str:
    """The text with its control characters visible."""
    return _CONTROLS.sub(_escape, text)


def line(text: str, width: int = 200) -> str:
    """The same in one line of at most `width` characters."""
    text = plain(" ".join(text[: 4 * width].split()))
    return text if len(text) <= width else f"{text[: width - 1]}…"


def sayable(text: str, encoding: str) -> str:
    """As what writes in an encoding can say it: with three dots for the one of what was cut, and escapes for what it lacks."""
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        return text.replace("…", "...").encode(encoding, "backslashreplace").decode(encoding)
    return text


def label(item: Any) -> str:
    """An item in few words, to be looked at: a text as it is, anything else by its repr, both cut. Whoever prints it makes it
    harmless (`line`). In an error's message an item is quoted: `errors.shown`."""
    try:
        if isinstance(item, str):
            return item[:WIDTH]
        if _room_left(item, 32) >= 0:
            return repr(item)[:WIDTH]
        return _REPR.repr(item)
    except Exception:  # its repr raises
        return f"a {type(item).__name__}"


_PLAIN = frozenset({int, float, bool, type(None), complex})


def _room_left(item: Any, room: int) -> int:
    """Of room for so many parts, below 0 where it is too little. What has room is shown by its own repr: `reprlib`, which looks
    at each part before it shows it, takes ten times as long."""
    kind = type(item)
    if kind in _PLAIN or (kind is str and len(item) < 1000):
        return room
    parts = item.values() if kind is dict else item if kind is tuple or kind is list else None
    if parts is None or len(item) > room:
        return -1
    for part in parts:
        room = _room_left(part, room - 1)
    return room


def _escape(found: re.Match[str]) -> str:
    code = ord(found[0])
    return f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}"
