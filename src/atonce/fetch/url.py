"""URLs as this package means them: one spelling of each, and nothing that two parsers could read differently.

Every transport is given the spelling made here, and told not to touch it. Userinfo is split off: it becomes a header,
which redirects strip and no text shows.
"""

from __future__ import annotations

import functools
import ipaddress
import re
import socket
from urllib.parse import quote, unquote_plus, urljoin

from ..errors import InputError
from .secret import is_secret_key

__all__ = ["are_canonical", "canonical", "host_of", "is_masked", "join", "origin", "shown"]

PORTS = {"http": 80, "https": 443}

# The characters of path and query that are sent as they were written; the rest is percent-encoded as UTF-8.
_AS_IS = "!$%&'()*+,-./:;=?@[]_|~"
_PLAIN = re.compile(r"(https?)://([A-Za-z0-9.\-]+(?::[0-9]+)?)/[!$%&'()*+,\-./0-9:;=?@A-Z\[\]_a-z|~]*")
_PLAIN_LINE = re.compile(f"^{_PLAIN.pattern}$", re.MULTILINE)
_PARTS = re.compile(r"(?i:(https?)://)([^/?#]*)([^?#]*)((?:\?[^#]*)?)(?:#.*)?", re.DOTALL)
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.\-]*):(?![0-9])")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_NAME = re.compile(r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?(?:\.[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?)*\.?")
_NUMBER = re.compile(r"(?:.*\.)?(?:[0-9]+|0x[0-9a-f]*)\.?")

_KEY = re.compile(r"(?:^|(?<=[?;#]))([^=?;#]*)=")
_OF_PATH = re.compile(r";([^=;/]*)=[^;/]*")
_MASK = re.compile(r"(?i)(?<=//)\*\*\*(?=@|%40)|(?:(?<==)|(?<=%3d))\*\*\*(?=[&?;/]|%26|$)")
_USERINFO = re.compile(r"(?<=//)[^/?#]*@|^[^/?#\s]*@")


def canonical(text: str) -> tuple[str, str | None]:
    """(URL without userinfo and fragment, userinfo or None). Raises InputError for what is not an http(s) URL."""
    found = _PLAIN.fullmatch(text)
    if found is not None and "/." not in text:
        scheme, netloc = found.groups()
        if _netloc(scheme, netloc) == netloc:  # it is in its one spelling: most are
            return text, None
    return _carefully(text)


def are_canonical(lines: str) -> bool:
    """Whether each line is a URL in its one spelling, so that `canonical` would change nothing; False also where that is not
    seen at once."""
    hosts = _PLAIN_LINE.findall(lines)
    if len(hosts) != lines.count("\n") + 1 or "/." in lines:
        return False
    try:
        return all(_netloc(scheme, netloc) == netloc for scheme, netloc in set(hosts))
    except InputError:
        return False


def _carefully(text: str) -> tuple[str, str | None]:
    text = text.strip(" ")
    if _CONTROL.search(text):
        raise _refused(text, "has a control character in it")
    found = _PARTS.fullmatch(text)
    if found is None:
        raise _refused(text, *_why_no_url(text))
    scheme, authority, path, query = found.groups()
    scheme = scheme.lower()
    if "\\" in authority:
        raise _refused(text, "has a backslash in its host, which programs read in different ways")
    userinfo, at, netloc = authority.rpartition("@")
    path = quote(_without_dots(path), safe=_AS_IS, errors="surrogateescape")
    query = quote(query, safe=_AS_IS, errors="surrogateescape")
    return f"{scheme}://{_netloc(scheme, netloc)}{path}{query}", userinfo if at else None


@functools.lru_cache(4096)
def _netloc(scheme: str, text: str) -> str:
    """`host` or `host:port` in its one spelling; the scheme's own port is left out."""
    found = re.fullmatch(r"(\[.*\]|[^:\[\]]*)(?::([0-9]*))?", text)
    if found is None:
        raise _refused(text, "is not a host with or without a port")
    host, port = _host(found[1]), found[2]
    if not port or int(port) == PORTS[scheme]:
        return host
    if not 0 < int(port) < 65536:
        raise _refused(text, "has a port that is not from 1 to 65535")
    return f"{host}:{int(port)}"


def _host(text: str) -> str:
    if text.startswith("["):
        try:
            return f"[{ipaddress.IPv6Address(text[1:-1] if '%' not in text else '')}]"
        except ValueError:
            raise _refused(text, "is not an IPv6 address") from None
    host = (text if text.isascii() else _idna(text)).lower()
    if _NUMBER.fullmatch(host):
        # 127.1, 0x7f.1, 2130706433 and 017700000001 all are 127.0.0.1 to a C library: spell it so, before it is judged
        try:
            return str(ipaddress.IPv4Address(socket.inet_aton(host.rstrip("."))))
        except OSError:
            raise _refused(text, "is not an IPv4 address") from None
    if not _NAME.fullmatch(host) or len(host) > 254:
        raise _refused(text, "is not a host name")
    return host


def _idna(text: str) -> str:
    import idna  # what requests and yarl use too; imported for those who need it

    try:
        return idna.encode(text, uts46=True).decode("ascii")
    except (idna.IDNAError, UnicodeError):
        raise _refused(text, "is not a host name (IDNA)") from None


def _without_dots(path: str) -> str:
    """`/a/./b/../c` is `/a/c` (RFC 3986, 5.2.4); an empty path is `/`."""
    kept: list[str] = []
    parts = path.split("/")[1:]
    for part in parts:
        if part == "..":
            del kept[-1:]
        elif part != ".":
            kept.append(part)
    if parts and parts[-1] in (".", ".."):
        kept.append("")
    return "/" + "/".join(kept)


def origin(url: str) -> tuple[str, str, int]:
    """(scheme, host, port) of a canonical URL; an IPv6 host without its brackets."""
    scheme, _, rest = url.partition("://")
    host, _, port = rest.partition("/")[0].partition(":") if not rest.startswith("[") else _bracketed(rest)
    return scheme, host, int(port) if port else PORTS[scheme]


def _bracketed(rest: str) -> tuple[str, str, str]:
    host, _, after = rest[1:].partition("]")
    return host, "", after.partition("/")[0].removeprefix(":")


def host_of(url: str) -> str:
    """`host` or `host:port` of a canonical URL: what limits are counted by."""
    return url.split("/", 3)[2]


def join(base: str, reference: str) -> tuple[str, str | None]:
    """`canonical` of a reference that may be relative to `base`, such as a redirect's."""
    if _CONTROL.search(reference):  # urljoin would silently remove some
        raise _refused(reference, "has a control character in it")
    return canonical(urljoin(base, reference.strip(" ")))


def shown(url: str) -> str:
    """The URL as it may be shown and recorded: `***` for userinfo and for values of query keys that name secrets."""
    if "@" in url or not url.isprintable():
        url = _USERINFO.sub("***@", _CONTROL.sub("?", url))
    if "=" not in url:
        return url
    path, mark, query = url.partition("?")
    if "#" in path:  # which is not sent, but may be typed, or be in a URL within a URL
        path, mark, query = url.partition("#")
    if ";" in path:  # ;jsessionid=…
        path = _OF_PATH.sub(lambda found: f";{found[1]}=***" if is_secret_key(found[1]) else found[0], path)
    return f"{path}{mark}{_shown_query(query)}" if "=" in query else f"{path}{mark}{query}"


def is_masked(url: str) -> bool:
    """Whether it has `***` where `shown` puts it: it was shown, and what has to be there is not."""
    if "***" not in url:
        return False
    marked, count = _MASK.subn("wasmasked", url)
    return shown(marked).count("wasmasked") < count


def _shown_query(query: str) -> str:
    pairs = query.split("&")
    # with a state it is what OAuth sends back: a secret, which other codes are not
    if "code=" in query and any(pair.startswith("state=") for pair in pairs):
        pairs = ["code=***" if pair.startswith("code=") else pair for pair in pairs]
    return "&".join(map(_shown_pair, pairs))


def _shown_pair(pair: str) -> str:
    if "?" not in pair and ";" not in pair and "#" not in pair:
        key, equals, _ = pair.partition("=")
        return f"{key}=***" if equals and is_secret_key(key) else _shown_value(pair)
    for found in _KEY.finditer(pair):  # several where there is a URL in it that is not quoted, or with `;` for `&`
        if is_secret_key(found[1]):
            return f"{_shown_value(pair[: found.start()])}{found[0]}***"
    return _shown_value(pair)


def _shown_value(pair: str) -> str:
    if "%" not in pair:
        return pair
    key, equals, value = pair.partition("=")
    if "%" in value:  # it may be a URL itself, or a query, with secrets of its own
        inner = unquote_plus(value)
        safe = shown(inner) if "?" in inner or "//" in inner else _shown_query(inner) if "=" in inner else inner
        if safe != inner:
            return f"{key}{equals}{quote(safe, safe='/:*')}"
    return pair


def _why_no_url(text: str) -> tuple[str, str | None]:
    if found := _SCHEME.match(text):
        if found[1].lower() in PORTS:
            return "lacks the // after its scheme", None
        return f"is of the scheme {found[1][:20]!r}; only http and https are fetched", None
    return "has no scheme", _with_scheme(text)


def _with_scheme(text: str) -> str | None:
    """The URL that is likely meant, or in words where it may not be shown; None where it would be refused, too."""
    meant = f"https://{text.removeprefix('//')}"
    if re.search(r"\s", text):
        return None
    try:
        canonical(meant)
    except InputError:
        return None
    return meant if len(meant) <= 100 and shown(meant) == meant else "https:// before it"


def _refused(text: str, why: str, hint: str | None = None) -> InputError:
    return InputError(f"{shown(text)[:200]!r} {why}", hint=hint)
