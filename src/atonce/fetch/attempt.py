"""One attempt at a request, from its first hop to a page or an error: what the transports have in common.

Attempt ──► hop ──► the transport sends it ──► answered ──► a next hop, which is sent in turn
                               │                  └───────► a page, or a FetchError
                               └──► failed, late, too_big: a FetchError
"""

from __future__ import annotations

import dataclasses
import errno
import itertools
import time
from collections.abc import Iterable

from .address import refused_address
from .decode import Body, TooBig
from .failure import CUT, FetchError, class_of, retry_after, status_worth_retrying, worth_retrying
from .limits import Policy, Watch
from .page import Hop, Page, headers_of
from .partial import Part
from .redirect import REDIRECTS, Refused, next_hop
from .request import Headers, Request
from .robots import Missed, Question, Robots, is_unavailable
from .url import host_of, origin, shown

__all__ = ["Attempt", "headers_to_send"]


class Attempt:
    """Filled in by a transport while it works. `now` is always `time.monotonic()`, passed in.

    The class attributes are what is known before anything has happened: most attempts never change most of them.
    """

    # of the attempt
    dns_s: float | None = None
    connect_s: float | None = None
    tls_s: float | None = None
    peer_ip: str | None = None
    redirects = 0
    wanted: Request | None = None  # the hop that waits: the one under way asks for the host's robots.txt
    question: Question | None = None  # that one's, for others to wait for
    waits: Question | None = None  # another attempt's: the transport waits for its end, then calls `resume`
    leaps = 0  # redirects of that one
    hops: tuple[Hop, ...] = ()  # answered by redirects, where bodies are kept as they came: for an archive
    part: Part | None = None  # of the body: what an earlier attempt left, and what is kept of this one
    # of the hop
    sent = False  # the request may have reached the server
    first_byte_at: float | None = None
    status: int | None = None
    head = b""
    body = b""
    received = 0  # bytes of the body, when it is not whole
    pieces: Iterable[bytes] = ()  # what has come of it
    collected: Body | None = None  # the same, where it is taken a piece at a time
    refused: str | None = None  # why an address was not connected to
    local: str | None = None  # why this machine has no socket to give
    starved_at: float | None = None  # it had none first

    def __init__(self, request: Request, policy: Policy, now: float, watch: Watch | None = None, index: int = -1) -> None:
        self.request = self.hop = self.bare = request
        self.index = index
        self.policy = policy
        self.started_at = time.time()
        self.started = now
        self.watch = watch or Watch(policy.timeouts)
        self.watch.begin(now)

    def begin(self, now: float) -> None:
        """Before `hop` is sent first. Raises FetchError."""
        if self.policy.partials is not None and self.policy.partials.go_on:
            self.part = self.policy.partials.of(self.request)
        if self.policy.begins:
            self.hop = self._dressed(self.request)
        if self.policy.robots is not None:
            self._ask(self.bare, self.policy.robots, now)

    def resume(self, now: float) -> None:
        """What was waited for is over: go on, or wait again. Raises FetchError."""
        robots, waits = self.policy.robots, self.waits
        assert robots is not None
        assert waits is not None
        self.waits = None
        self.watch.held(self._waits_since, now)
        if (missed := waits.result()) is not None:
            why = f"the robots.txt of {host_of(self.bare.url)} could not be had: {missed.why}"
            raise self.failed(missed.kind, why, now, retryable=True, pause=missed.pause)
        self._ask(self.bare, robots, now)

    def spent(self, phase: str, seconds: float) -> None:
        """Add to `dns_s`, `connect_s` or `tls_s`: a redirect may go through them again."""
        setattr(self, phase, (getattr(self, phase) or 0.0) + seconds)

    def answered(self, now: float) -> Page | None:
        """The answer is here as a whole: its page, or None when `hop` is now the next one. Raises FetchError."""
        status = self.status
        assert status is not None
        if self.wanted is not None:
            self._told(status, self.wanted, now)
            return None
        if self.policy.cookies is not None:
            self.policy.cookies.learn(self.hop.url, headers_of(self.head))
        if self.part is not None and not self._joined(self.part, now):
            self._hop_to(self.bare, now)
            return None
        if 200 <= status < 300:
            return self._put_down(self._page(now))
        if status < 200:
            raise self.failed("protocol", f"the server switches to something else ({status}), unasked", now)
        headers = self._headers()
        if status in REDIRECTS and len({value for name, value in headers_of(self.head) if name.lower() == "location"}) > 1:
            raise self.failed("protocol", f"a redirect ({status}) to several places", now)  # as libcurl has it
        try:
            hop = next_hop(self.bare, status, headers, self.policy, first=self.request, number=self.redirects)
        except Refused as refused:
            raise self.failed(refused.kind, str(refused), now) from None
        if hop is not None:
            self.redirects += 1
            if self.policy.raw:
                body = self.body if self.collected is None else b"".join(self.collected)
                self.hops += (Hop(self.bare, self.head, body, self.peer_ip),)
            self._hop_to(hop, now)
            if self.policy.robots is not None:
                self._ask(hop, self.policy.robots, now)
            return None
        asked = headers.get("retry-after")
        page = self._page(now, class_of(status, asked))
        if not status_worth_retrying(status, self.hop.method):
            return self._put_down(page)
        self.leave()
        wait = None if asked is None else retry_after(asked, time.time())
        what = f"{page.error_class}: {page.error}"
        full = page.error_class == "throttled" or status == 503 or wait is not None
        raise FetchError(what, page=page, retryable=True, retry_after=wait, overload=full, item=shown(self.request.url))

    def is_free_to_repeat(self, *, reused: bool) -> bool:
        """Whether a hop that was lost is sent again, once and unasked: it went over a connection that was open already.

        The server had most likely closed it by then, and that is nobody's failure yet.
        """
        return reused and self.first_byte_at is None and self.hop.is_idempotent

    def repeat(self, now: float) -> None:
        self.sent = False
        self.watch.connecting(now)

    def allows(self, address: str) -> bool:
        """Whether this hop may connect to an address of its host. If not, and no other does, that is why it fails."""
        if self.policy.proxy is not None:  # it is the proxy's
            return True
        self.refused = refused_address(origin(self.hop.url)[1], address, self.policy.allow_private)
        return self.refused is None

    def no_socket(self, error: OSError) -> None:
        """Opening or connecting one failed: is it this machine that lacks something?"""
        if error.errno in _NO_SOCKET:
            self.local = str(error)

    def starves(self, now: float) -> bool:
        """Whether a hop for which this machine has no socket is to be repeated after a pause: for as long as one may take."""
        if self.local is None:
            return False
        if self.starved_at is None:
            self.starved_at = now
        if now - self.starved_at >= self.policy.timeouts.connect:
            return False
        self.local = None
        return True

    def broken(self, kind: str, why: str, now: float) -> FetchError:
        """The error of a hop that broke; the kind "lost" is a connection that ended, before the answer or within it."""
        if self.refused is not None:
            return self.failed("policy", self.refused, now)
        if self.local is not None:
            return self.failed("local-io", self.local, now, retryable=True)
        proxy = self.policy.proxy
        if proxy is not None and not self.sent and kind in ("dns", "connect", "lost") and "proxy" not in why.lower():
            why = f"by the proxy {proxy.url}: {why}"  # whom else would one look for, when the host is there
        if kind == "lost":
            kind = "connect" if self.first_byte_at is None else "truncated"
            if kind == "connect" and self.sent and not self.hop.is_idempotent:
                why = f"the connection was closed without an answer when the {self.hop.method} had been sent: it may have been"
                why += " acted upon, so it is not sent again"
        return self.failed(kind, why, now)

    def failed(
        self, kind: str, why: str, now: float, *, retryable: bool | None = None, pause: float | None = None
    ) -> FetchError:
        """The error of an attempt that brought no answer, or none that may be used."""
        if retryable is None:
            begun = self.first_byte_at is not None
            retryable = worth_retrying(kind, self.hop.method, sent=self.sent, begun=begun)
        where = f" at {shown(self.hop.url)}" if self.redirects or self.wanted else ""
        if self.wanted is not None and kind not in _NOT_ITS:
            kind, pause = self._untold(kind, why, self.wanted, now, again=retryable)
            retryable = pause is not None
        self._asked()
        if self.policy.partials is not None:
            if self.part is None and kind in CUT:
                self.part = self.policy.partials.of(self.request)
            if self.part is not None and self._kept(self.part, kind):
                retryable = True  # what is here need not come again
        why = shown(why.replace(self.hop.url, shown(self.hop.url)))[:300]  # libraries quote URLs and servers
        if self.wanted is not None:  # what robots.txt was answered is not what was asked for
            self.hop, self.status, self.head = self.wanted, None, b""
        page = self._page(now, kind, f"{why}{where}")
        full = kind == "connect" and not self.sent
        item = shown(self.request.url)
        what = f"{kind}: {page.error}"
        return FetchError(what, page=page, retryable=retryable, retry_after=pause, overload=full, item=item)

    def late(self, phase: str, now: float) -> FetchError:
        """The error of an attempt whose watch named this phase."""
        limit = getattr(self.policy.timeouts, phase.replace("-", "_"))
        why = _LATE[phase]
        if phase == "connect" and self.dns_s is None and not self.redirects and self.policy.proxy is None:
            host = origin(self.hop.url)[1]
            if not (":" in host or host.rpartition(".")[2].isdigit()):  # it is no address
                why = _UNNAMED
        again = self._is_unserved if phase == "first-byte" else None
        return self.failed(f"timeout-{phase}", why.format(limit=limit, host=host_of(self.hop.url)), now, retryable=again)

    @property
    def _is_unserved(self) -> bool:
        """Whether nothing ever came over the connection, which was opened for this hop; over TLS, its handshake has."""
        is_new = self.connect_s is not None and not self.redirects and self.wanted is None
        return is_new and self.hop.is_idempotent and self.hop.url.startswith("http:")

    def too_big(self, now: float) -> FetchError:
        return self.failed("too-big", f"the body is over {self.policy.max_body} bytes", now)

    def taking(self) -> Part | None:
        """What the pieces of the body are to be added to as they come, now that `status` and `head` are known."""
        part = self.part
        if part is None or self.wanted is not None:
            return None
        part.answered(self.hop.url, self.status or 0, self._headers())
        return part if part.takes else None

    def collect(self, encodings: str) -> Body:
        """Takes the hop's body a piece at a time: `has_come` is to be called when that was all. Raises BadEncoding."""
        policy = self.policy
        shelf = policy.shelf if self.wanted is None else None  # a robots.txt is for us
        self.pieces = self.collected = Body(encodings, policy.max_body, raw=policy.raw, shelf=shelf)
        return self.collected

    def has_come(self) -> None:
        """All of what is `collected`. Raises EOFError."""
        assert self.collected is not None
        self.body = self.collected.finish()

    def leave(self) -> None:
        """The attempt is over, or given up: what it left of a body stays for another one. A second call does nothing."""
        if self.part is not None:
            self.part.keep()
        self._let_go()
        self._asked()

    def _asked(self, missed: Missed | None = None) -> None:
        """Tell those who wait for robots.txt that this attempt asks for it no longer, if it did."""
        question, self.question = self.question, None
        if question is not None:
            assert self.policy.robots is not None
            assert self.wanted is not None
            self.policy.robots.answered(self.wanted.url, question, missed)

    def _dressed(self, hop: Request) -> Request:
        """The hop with what this attempt says of its own: cookies; that it wants what is not here yet, and no encoding, in
        which no part could be joined to another."""
        own = {name.lower() for name, _ in hop.headers}
        more: Headers = ()
        if self.part is not None:
            more = self.part.headers(hop.url)
            if "accept-encoding" not in own:
                more = (("Accept-Encoding", "identity"), *more)
        if self.policy.cookies is not None and "cookie" not in own:
            more += self.policy.cookies.headers(hop.url)
        return dataclasses.replace(hop, headers=hop.headers + more) if more else hop

    def _joined(self, part: Part, now: float) -> bool:
        """Have `body` begin with what was here already. False: it is not the rest of that, which is forgotten."""
        if part.verdict is None:
            part.answered(self.hop.url, self.status or 0, self._headers())
        if not part.verdict:
            return False
        if not part.is_rest:
            return True
        rest, body = self.collected, Body("", self.policy.max_body, shelf=self.policy.shelf)
        try:
            for piece in itertools.chain(part.before(), (self.body,) if rest is None else rest):
                body.feed(piece)
        except OSError as error:
            body.drop()
            raise self.failed("local-io", str(error), now, retryable=True) from None
        except TooBig:
            raise self.too_big(now) from None
        self._let_go()
        self.collected = body
        self.has_come()
        return True

    def _kept(self, part: Part, kind: str) -> bool:
        """What to do with what there is of a body, now that the attempt has failed. True if the next one asks for less."""
        if kind not in CUT or self.wanted is not None:
            (part.drop if kind in _SPOILT else part.close)()
            return False
        if not part.goes_on:
            part.answered(self.hop.url, self.status or 0, self._headers())
            for piece in self.pieces:
                part.add(piece)
        self.received += part.start * part.is_rest
        return part.keep() and part.goes_on

    def _headers(self) -> dict[str, str]:
        return {name.lower(): value for name, value in reversed(headers_of(self.head))}  # the first of each counts

    def _ask(self, hop: Request, robots: Robots, now: float) -> None:
        """Go on with `hop` if that is allowed, or with the host's robots.txt if nobody knows, or wait for who asks for it."""
        allowed = robots.allows(hop.url)
        if allowed is False:
            raise self.failed("robots", f"the robots.txt of {host_of(hop.url)} does not allow it", now)
        if allowed is None:
            if (why := robots.lacking(hop.url, now)) is not None:
                why = f"the robots.txt of {host_of(hop.url)} could not be had, so nothing may be fetched: {why}"
                raise self.failed("robots", why, now, retryable=False)
            question, ours = robots.question(hop.url)
            if not ours:
                self.waits, self._waits_since = question, now
                return
            self.question, self.wanted, self.leaps = question, hop, 0
            self.hop = Request(robots.place(hop.url))

    def _told(self, status: int, wanted: Request, now: float) -> None:
        """robots.txt was answered: with rules, with none, with where it is, or not."""
        robots = self.policy.robots
        assert robots is not None
        if is_unavailable(status):
            raise self.failed("robots", f"the server answered {status}", now, retryable=True)
        try:
            hop = next_hop(self.hop, status, self._headers(), self.policy, first=self.request, number=self.leaps)
        except Refused:
            hop = None
        if hop is not None:
            self.leaps += 1
            self._hop_to(hop, now)
            return
        robots.learn(wanted.url, self.body if status < 300 else None)
        self._asked()
        self.wanted = None
        self._hop_to(wanted, now)
        self._ask(wanted, robots, now)

    def _untold(self, kind: str, why: str, wanted: Request, now: float, *, again: bool) -> tuple[str, float | None]:
        """robots.txt could not be had: what kind of failure that is, and how long to wait before it is asked for `again`. The
        host's other requests wait as long, or fail."""
        robots = self.policy.robots
        assert robots is not None
        pause = robots.missed(wanted.url, why, now, again=again)
        if pause is not None and self.status is not None:
            pause = max(pause, retry_after(self._headers().get("retry-after"), time.time()) or 0.0)
        kind = kind if kind in _NOBODY else "robots"
        if pause is not None:
            self._asked(Missed(kind, why, pause))
        return kind, pause

    def _hop_to(self, hop: Request, now: float) -> None:
        self.bare = hop
        self.hop = self._dressed(hop) if self.policy.begins else hop
        self.sent = False
        self._let_go()
        self.first_byte_at = self.status = self.refused = self.local = self.starved_at = None
        self.head = self.body = b""
        self.received = 0
        self.watch.connecting(now)

    def _page(self, now: float, kind: str | None = None, why: str | None = None) -> Page:
        complete = why is None
        spool = None if self.collected is None else self.collected.spool
        if kind is not None and why is None:
            why = f"the server answered {self.status}"
        fields = (
            self.request.url,
            self.request.method,
            self.hop.url,
            self.status,
            kind,
            why,
            self.started_at,
            self.dns_s,
            self.connect_s,
            self.tls_s,
            None if self.first_byte_at is None else self.first_byte_at - self.started,
            now - self.started,
            self.peer_ip,
            self.head,
            self.body if complete else b"",
            self.received if not complete else len(self.body) if spool is None else spool.size,
            complete,
            spool.end() if complete and spool is not None else None,
            None if self.policy.robots is None else self.policy.robots.delay(self.request.url),
            self.hops,
            self.index,
        )
        page: Page = tuple.__new__(Page, (*fields, 1))  # as `Page(…)`, at a third of its cost
        return page

    def _put_down(self, page: Page) -> Page:
        """The page without its body, if that is in a file by now. What may be tried again keeps it: nobody may want it."""
        if self.part is not None:
            self.part.drop()
        shelf = self.policy.shelf
        stored = shelf.put(page.body) if shelf is not None and page.body else None
        return page if stored is None else page._replace(body=b"", stored=stored)

    def _let_go(self) -> None:
        """Of what is there of the hop's body, unless a page has it."""
        self.pieces = ()
        if self.collected is not None:
            self.collected.drop()
            self.collected = None


# The errors of a socket that cannot be had now and may be had later.
_NO_SOCKET = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})

# What makes a part of a body worthless.
_SPOILT = frozenset({"too-big", "protocol", "policy"})

# What says that nobody answers at a host, rather than that it has no robots.txt to give; and what says nothing of the host.
_NOBODY = frozenset({"dns", "connect", "tls", "timeout-connect"})
_NOT_ITS = frozenset({"local-io", "policy"})

_LATE = {
    "connect": "no connection to {host} within {limit:g} s",
    "first-byte": "no answer within {limit:g} s of the request",
    "stall": "hardly a byte within {limit:g} s",
    "total": "not done within {limit:g} s",
}
_UNNAMED = "no address of {host} within {limit:g} s: the name server does not answer"


def headers_to_send(hop: Request, policy: Policy, encodings: str) -> Headers:
    """The hop's headers, and those of ours that it does not set itself."""
    ours = (("User-Agent", policy.user_agent), ("Accept", "*/*"), ("Accept-Encoding", encodings))
    if not hop.headers:
        return ours
    names = {name.lower() for name, _ in hop.headers}
    return hop.headers + tuple(pair for pair in ours if pair[0].lower() not in names)
