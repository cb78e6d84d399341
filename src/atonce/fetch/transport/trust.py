"""Whom TLS trusts: the system's certificates, or certifi's where the system has none. One context a process."""

from __future__ import annotations

import functools
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import ssl

__all__ = ["ca_file", "context"]


@functools.cache
def ca_file() -> str | None:
    """A file of certificates for a library that brings an OpenSSL of its own, which may not know the system's place."""
    import ssl  # where nothing needs TLS, nobody waits for it

    paths = ssl.get_default_verify_paths()
    for path in (os.environ.get("SSL_CERT_FILE"), paths.cafile, paths.openssl_cafile):
        if path and os.path.isfile(path):
            return path
    return _certifi()


@functools.cache
def context(verified: bool = True) -> ssl.SSLContext:
    """Made once: that takes 15 ms, and a connection holds on to its own copy otherwise."""
    import ssl

    made = ssl.create_default_context()
    if not verified:
        made.check_hostname = False
        made.verify_mode = ssl.CERT_NONE
    elif not ssl.get_default_verify_paths().cafile and not made.cert_store_stats()["x509_ca"]:
        made.load_verify_locations(_certifi())
    return made


def _certifi() -> str | None:
    try:
        import certifi  # requests brings it
    except ImportError:
        return None
    return certifi.where()
