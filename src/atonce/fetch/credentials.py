"""Who is told what: headers for some hosts, from a file that only its owner can read, or from `.netrc`: `Credentials`.

    # headers for the hosts in brackets: as they are in URLs, with their port where it is not the scheme's own
    [api.example.org]
    Authorization: Bearer …
    [*.example.com]
    X-Key: …

A request has those of the host that was asked for. They are the user's own headers from then on: dropped where a redirect leads
elsewhere, shown nowhere.
"""

from __future__ import annotations

import base64
import dataclasses
import os
import re
import stat
from collections.abc import Mapping

from ..errors import InputError, UsageError
from .request import Headers, Request, refuse_masked
from .url import canonical, host_of, origin

__all__ = ["Credentials"]

_HOST = re.compile(r"\[(\*\.)?([^\[\]\s/@*]+|\[[0-9A-Fa-f:.]+\](?::[0-9]+)?)\]")


@dataclasses.dataclass(frozen=True, slots=True, repr=False)
class Credentials:
    """`by_host`: headers of hosts as URLs have them, `*.` before one meaning those below it; `logins`: (user, password) of
    host names, from `.netrc`."""

    by_host: Mapping[str, Headers] = dataclasses.field(default_factory=dict)
    logins: Mapping[str, tuple[str, str]] = dataclasses.field(default_factory=dict)

    @classmethod
    def read(cls, path: str | None = None, *, use_netrc: bool = False) -> Credentials:
        """From the file at `path`, and from `$NETRC` or `~/.netrc`. Raises UsageError."""
        return cls({} if path is None else _headers_from(path), _logins() if use_netrc else {})

    def __bool__(self) -> bool:
        return bool(self.by_host or self.logins)

    def added_to(self, request: Request) -> Request:
        """The request with what its host is to be told, but for what it says itself."""
        host = host_of(request.url)
        more = self.by_host.get(host, ())
        parent = host
        while not more and "." in parent:
            parent = parent.partition(".")[2]
            more = self.by_host.get(f"*.{parent}", ())
        own = {name.lower() for name, _ in request.headers}
        more = tuple(pair for pair in more if pair[0].lower() not in own)
        login = self.logins.get(origin(request.url)[1])
        if login is not None and "authorization" not in own | {name.lower() for name, _ in more}:
            more += (("Authorization", f"Basic {base64.b64encode(':'.join(login).encode()).decode('ascii')}"),)
        return dataclasses.replace(request, headers=request.headers + more) if more else request

    def __repr__(self) -> str:
        return f"<Credentials for {len(self.by_host) + len(self.logins)} hosts>"


def _headers_from(path: str) -> dict[str, Headers]:
    found: dict[str, Headers] = {}
    host: str | None = None
    for number, line in enumerate(_private(path).splitlines(), 1):
        where = f"{path}, line {number}"
        line = line.strip()
        if not line or line.startswith("#"):
            continue
        if line.startswith("["):
            host = _host(line, where)
            if host in found:
                raise UsageError(f"{where}: {host} is there twice")
            found[host] = ()
            continue
        name, colon, value = (part.strip() for part in line.partition(":"))
        if host is None or not colon:
            what = "a header of no host" if colon else "neither a host in brackets nor a header"
            raise UsageError(f"{where}: {what}", hint="[api.example.org], and below it Authorization: Bearer …")
        found[host] += _checked(name, value, where)
    return found


def _host(line: str, where: str) -> str:
    wanted = _HOST.fullmatch(line)
    try:
        if wanted is None:
            raise InputError("no host")
        # by the rules of URLs; a port that is either scheme's own is the same as none
        host = host_of(canonical(f"https://{wanted[2]}/")[0]).removesuffix(":80")
    except InputError:
        raise UsageError(
            f"{where}: {line[:100]} is no host in brackets", hint="[api.example.org] or [*.example.org:8080]"
        ) from None
    return f"{wanted[1] or ''}{host}"


def _checked(name: str, value: str, where: str) -> Headers:
    try:
        headers = Request("http://host/", headers=((name, value),)).headers
        refuse_masked("", headers)
    except InputError as error:
        raise UsageError(f"{where}: {error.what}") from None
    return headers


def _private(path: str) -> str:
    """What is in a file that nobody else can read."""
    try:
        with open(path, "rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            if os.name == "posix" and stat.S_IMODE(mode) & 0o077:
                raise UsageError(
                    f"{path} holds secrets and can be read by others (mode {stat.S_IMODE(mode):o})", hint=f"chmod 600 {path}"
                )
            return file.read().decode()
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}") from error
    except UnicodeDecodeError:
        raise UsageError(f"{path} is not UTF-8") from None


def _logins() -> dict[str, tuple[str, str]]:
    import netrc

    path = os.environ.get("NETRC") or os.path.expanduser("~/.netrc")
    _private(path)
    try:
        hosts = netrc.netrc(path).hosts
    except netrc.NetrcParseError as error:
        raise UsageError(f"{path}, line {error.lineno}: cannot be read as a .netrc") from None
    # `default` is for any host at all: a list of URLs is no place for that
    return {host.lower(): (login, password) for host, (login, _, password) in hosts.items() if host != "default"}
