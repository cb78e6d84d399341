"""What one keeps to oneself, going by its name: of a header (`is_secret`) and of a parameter in a URL (`is_secret_key`)."""

from __future__ import annotations

import functools
import re
from urllib.parse import unquote_plus

__all__ = ["is_secret", "is_secret_key"]

_HEADER = re.compile(r"(?i)auth|cookie|token|secret|passw|passphrase|pwd|key|session|credential|signature|jwt")
# Whole words: a `keyword` is none.
_KEY = re.compile(
    r"(?:.*[-_.])?(?:access|api|auth|credential|jwt|key|apikey|pass|passwd|password|pwd|secret|session|sig|signature"
    r"|token|accesskey|authtoken|accesstoken|sessionid|(?:j|asp)sessionid|(?:php)?sessid)"
)


def is_secret(name: str) -> bool:
    """Whether the header of a request is one to keep to oneself."""
    return _HEADER.search(name) is not None


@functools.lru_cache(1024)  # a list has the same few again and again
def is_secret_key(key: str) -> bool:
    """Whether the value of this key in a URL, as it is written there, is."""
    return _KEY.fullmatch(unquote_plus(key).lower()) is not None
