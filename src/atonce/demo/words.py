"""Numbers as people read them. Pure."""

from __future__ import annotations

__all__ = ["listed", "many", "micro", "s", "times"]


def s(seconds: float) -> str:
    """`12.3 s`, `1.43 s`, `0.303 s`, `48 ms`, `4.2 ms`."""
    for limit, digits in ((10.0, 1), (1.0, 2), (0.1, 3)):
        if seconds >= limit:
            return f"{seconds:.{digits}f} s"
    return f"{1e3 * seconds:.0f} ms" if seconds >= 0.01 else f"{1e3 * seconds:.2g} ms"


def micro(us: float) -> str:
    """`0.4 µs`, `12 µs`, `1 850 µs`, from microseconds."""
    if us < 0.05:
        return "under 0.1 µs"
    return f"{us:.1f} µs" if us < 10 else f"{us:,.0f} µs".replace(",", " ")


def times(before: float, after: float) -> str:
    """How much faster, `5.8 times`: two digits are all that such a measurement bears."""
    ratio = before / after if after > 0 else float("inf")
    return f"{ratio:.0f} times" if ratio >= 10 else f"{ratio:.1f} times"


def many(count: int, thing: str, things: str | None = None) -> str:
    """`1 thread`, `10 threads`, `2 processes` (with a plural of its own)."""
    return f"{count} {thing if count == 1 else things or thing + 's'}"


def listed(words: list[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    return " and ".join([", ".join(words[:-1]), words[-1]]) if len(words) > 1 else "".join(words)
