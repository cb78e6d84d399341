"""As many descriptors as this user may have, for a command that opens a connection for each request: `many_descriptors`."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from atonce.errors import UsageError

__all__ = ["many_descriptors"]

# More than are ever in flight, and as many idle again.
MOST = 16_384
# With fewer nothing comes of it: at 18 a folder cannot be written, at 15 no connection is made.
LEAST = 24


@contextlib.contextmanager
def many_descriptors() -> Iterator[None]:
    """The soft limit, which shells set to 1024, is that of before afterwards. Raises UsageError where there are too few."""
    try:
        import resource
    except ImportError:  # Windows: sockets are not counted with files
        yield
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MOST if hard == resource.RLIM_INFINITY else min(MOST, hard)
    if hard != resource.RLIM_INFINITY and hard < LEAST:
        raise UsageError(
            f"no more than {hard} files may be open here, and {LEAST} are needed", hint=f"ulimit -n {LEAST}, or more"
        )
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        yield
        return
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    except (OSError, ValueError):  # macOS has one more limit
        yield
        return
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
