"""`atonce fetch URL… -i urls.txt -o pages/`."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import click

from .loading import seldom_collected, uncollected
from .options import CODES, Command, controls, given, in_group, number_or_auto, only_one, outputs
from .shown import Shown, shows
from .streams import tell

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from atonce.fetch import Page, Request
    from atonce.fetch.credentials import Credentials
    from atonce.sink.row import Row
    from atonce.source.inputs import Entry, Input

    from .job import Record
    from .repeats import How

_EXAMPLES = """
  atonce fetch https://example.org/ > page.jsonl
  atonce fetch -i urls.txt -o pages/            # again: goes on where it ended
  atonce fetch -i urls.txt -o pages/ --dry-run  # what would it get and need?
  atonce fetch -i urls.txt -o pages/ --retry-failed=timeout,connect
  atonce fetch -i urls.txt -o pages/ --refresh  # what has changed, each night
  atonce fetch -i api.jsonl -o got.jsonl -H 'Authorization: …' --rate 10/s
  atonce fetch -i urls.txt -o crawl.warc.gz --robots --rate 2/s
"""
_SIZES = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9}
_what = in_group("What to get")
_how = in_group("How it runs")
_limits = in_group("Limits of an attempt")


def _size(ctx: click.Context, parameter: click.Parameter, value: str | None) -> int | None:
    """`500k`, `20m`, `1g`, or bytes."""
    if value is None:
        return None
    number, unit = (value[:-1], value[-1].lower()) if value[-1:].isalpha() else (value, "")
    if not number.isdecimal() or unit not in _SIZES:
        raise click.BadParameter(f"{value!r} is not a size such as 500k, 20m or 1g")
    return int(number) * _SIZES[unit]


def _header(ctx: click.Context, parameter: click.Parameter, values: tuple[str, ...]) -> tuple[tuple[str, str], ...]:
    pairs = tuple(tuple(part.strip() for part in value.split(":", 1)) for value in values)
    if any(len(pair) != 2 for pair in pairs):  # which is not shown: it may be a secret
        raise click.BadParameter("there is no colon in it: it is not 'Name: value'")
    return pairs  # type: ignore[return-value]


@click.command("fetch", cls=Command, examples=_EXAMPLES, codes=CODES)
@click.argument("urls", nargs=-1, metavar="[URL]...")
@_what(
    "-i",
    "--input",
    "path",
    multiple=True,
    callback=only_one,
    metavar="FILE",
    help="a URL a line, .jsonl or .csv, or - for stdin",
)
@_what("--input-format", type=click.Choice(["text", "jsonl", "csv"]), help="of -i where its name does not say it")
@_what("-H", "--header", "headers", multiple=True, callback=_header, metavar="'NAME: VALUE'", help="for each request")
@_what("--headers-from", metavar="FILE", help="headers by host, [HOST] and NAME: VALUE lines; only you may read it (chmod 600)")
@_what("--netrc", "use_netrc", is_flag=True, help="log in at the hosts that ~/.netrc names")
@_what("--cookies", is_flag=True, default=None, help="send back the cookies that hosts set, in this run")
@_what("--keep-duplicates", is_flag=True, help="get the same request as often as it is listed (once, but for POST and PATCH)")
@controls
@_how("--per-host", "per_key", metavar="N", callback=number_or_auto, help="in flight to one host (auto: begins with 4)")
@_how("--bandwidth", metavar="SIZE", callback=_size, help="of all bodies together, in bytes a second: 500k, 2m (no limit)")
@_how("--max-wait", type=float, metavar="SECONDS", help="that a host's Retry-After may ask for at most (120)")
@_how("--remember/--no-remember", default=True, help="begin with what earlier runs found out about hosts (on)")
@_how("--transport", metavar="NAME", words=("curl", "aiohttp", "requests"), help="curl, aiohttp or requests (auto)")
@_how("--proxy", metavar="URL", help="go through it: http, https, socks5h, ...")
@_limits("--connect-timeout", "connect", type=float, metavar="SECONDS", help="for name, connection and TLS, each hop (10)")
@_limits("--first-byte-timeout", "first_byte", type=float, metavar="SECONDS", help="from the request to its answer (30)")
@_limits("--stall-timeout", "stall", type=float, metavar="SECONDS", help="with hardly a byte (30)")
@_limits("--max-body", metavar="SIZE", callback=_size, help="also decompressed: 500k, 20m, 1g (100m)")
@_limits("--max-redirects", type=int, metavar="N", help="hops to follow (10)")
@_limits("--allow-private", is_flag=True, default=None, help="follow names and redirects to addresses that are not public")
@_limits("--robots", is_flag=True, default=None, help="obey robots.txt")
@_limits("--insecure", multiple=True, metavar="HOST", help="do not verify the certificate of this host")
@_how("--refresh", is_flag=True, help="ask for all again, and replace in the folder what has changed")
@_how("--continue", "go_on", is_flag=True, help="go on with bodies that were cut, in the folder; no compression is asked for")
@_how("--dry-run", is_flag=True, help="say what is in the list and what the run would need; request nothing")
@outputs
@shows
@in_group("Output")("--no-body", is_flag=True, help="record everything but the bodies")
@click.pass_context
def command(
    ctx: click.Context,
    /,
    *,
    urls: tuple[str, ...],
    path: str | None,
    input_format: str | None,
    headers: Sequence[tuple[str, str]],
    retries: int | None,
    max_wait: float | None,
    output: str,
    retry_failed: bool | frozenset[str],
    dry_run: bool,
    refresh: bool,
    go_on: bool,
    keep_duplicates: bool,
    headers_from: str | None,
    use_netrc: bool,
    report: str | None,
    no_body: bool,
    insecure: tuple[str, ...],
    connect: float | None,
    first_byte: float | None,
    stall: float | None,
    **options: Any,
) -> int:
    """Get many URLs: those given, then those in a file.

    A line of a text file is a URL; blank lines and lines that begin with # are left out. A .jsonl line is a URL or an
    object, a .csv row an object, with url and perhaps method, headers, body.

    A folder gets a file for each body and manifest.jsonl, a row for each URL. The same command again goes on where
    the last one ended. What is listed twice is got once: the second row's same_as is the index of the first.
    """
    with uncollected():
        from atonce import Retry, fetch
        from atonce.errors import UsageError
        from atonce.fetch import Timeouts
        from atonce.fetch.credentials import Credentials
        from atonce.fetch.failure import CUT, is_unreachable
        from atonce.fetch.page import COLUMNS
        from atonce.fetch.partial import Partials
        from atonce.fetch.request import mark_of, requests_of
        from atonce.sink import MOST_BODY, kind_of
        from atonce.sink.shelf import NOWHERE, Shelf, shelf_beside, shelf_of
        from atonce.source.inputs import Input

        from .descriptors import many_descriptors
        from .job import Job
        from .named import check_files
        from .reported import Reported

    if not urls and path is None:
        raise UsageError("there is nothing to get", hint="atonce fetch https://example.org/, or -i urls.txt")
    for url in urls:
        if "://" not in url and os.path.isfile(url):
            raise UsageError(f"{url} is a file, not a URL", hint=f"-i {url}")
    kind, shown = kind_of(output), Shown.taken(options)
    archive = kind == ".warc.gz"
    if archive and no_body:
        raise UsageError("--no-body leaves nothing for an archive", hint="-o NAME.jsonl --no-body")
    check_files(output, read={"-i": path, "--headers-from": headers_from}, trace=options["trace"], report=report)
    _check_headers(headers)
    credentials = Credentials.read(headers_from, use_netrc=use_netrc)
    items = Input(
        path,
        first=urls,
        kind=input_format,
        comments=True,
        column="url",
        salt=_salt(headers, no_body),
        parse=_parser(headers, credentials),
        parse_all=None if headers or credentials else requests_of,
    )
    again = _classes(retry_failed)
    if go_on and no_body:
        raise UsageError("--no-body leaves nothing for --continue to go on with")
    if go_on and again is not True:
        again = (again or frozenset()) | CUT
    shelf = None
    if no_body:
        options["shelf"] = Shelf(NOWHERE)
    elif kind != "-" and options["model"] not in ("dask", "ray"):  # it is on this machine
        options["shelf"] = shelf_of(output) if kind == "/" else shelf_beside(output, within=kind == ".parquet")
        if kind != "/":
            shelf = options["shelf"]
        elif not dry_run:
            options["partials"] = Partials(options["shelf"].folder, go_on)
    most = MOST_BODY.get(kind)
    if most is not None and not no_body and (options["max_body"] or 0) > most:
        options["max_body"] = most
        if not shown.quiet:
            from .talk import say

            say(f"a {kind} takes bodies of up to {most} bytes: larger ones fail as too-big; -o NAME/ has a file for each")
    options = given(
        **options,
        raw=archive or None,
        retry=Retry(**given(attempts=None if retries is None else retries + 1, max_wait=max_wait)),
        insecure=frozenset(insecure),
        timeouts=Timeouts(**given(connect=connect, first_byte=first_byte, stall=stall)),
    )
    if dry_run:
        there = "is asked for again" if refresh else "would be left out, but for what failed" if again else "would be left out"
        with many_descriptors():
            return _rehearse(items, output, there, shown.form == "json", options)
    reported = Reported(report, options) if report is not None else None
    job = Job(
        name="fetch",
        items=items,
        output=output,
        start=lambda items, display: fetch(items, progress=display, **options),
        record=_recorder(archive, refresh),
        make=_maker(archive, lines=kind == "/" and not no_body),
        mark=None if keep_duplicates else mark_of,
        repeat=_repeat,
        refresh=refresh,
        go_on=go_on,
        shelf=shelf,
        revise=_revise,
        unanswered=is_unreachable,
        setback=_setback,
        changes=("the list was changed", "its rows were made with another -H, or with or without --no-body"),
        arguments=ctx.obj,
        columns=COLUMNS,
        bodies=not no_body,
        retry_failed=again,
        shown=shown,
        reported=reported,
    )
    with seldom_collected(), many_descriptors():
        return job.run()


def _check_headers(headers: Sequence[tuple[str, str]]) -> None:
    """What is wrong with `-H` is not wrong with each line of the list."""
    from atonce.errors import InputError, UsageError
    from atonce.fetch import Request
    from atonce.fetch.request import refuse_masked

    for name, value in headers:
        try:
            Request("http://host/", headers=((name, value),))
            refuse_masked("", ((name, value),))
        except InputError as error:
            raise UsageError(f"-H: {error.what}") from None


def _classes(again: bool | frozenset[str]) -> bool | frozenset[str]:
    """`--retry-failed=timeout` means each of the classes that begin so."""
    if isinstance(again, bool):
        return again
    import difflib

    from atonce.errors import UsageError
    from atonce.fetch.failure import CLASSES

    found: set[str] = set()
    for name in again:
        classes = {each for each in CLASSES if each == name or each.startswith(f"{name}-")}
        if not classes:
            near = difflib.get_close_matches(name, CLASSES, 1)
            hint = f"--retry-failed={near[0]}" if near else f"one of {', '.join(CLASSES)}"
            raise UsageError(f"there is no class of failures {name!r}", hint=hint)
        found |= classes
    return frozenset(found)


def _rehearse(items: Input, output: str, there: str, as_json: bool, options: dict[str, Any]) -> int:
    """0 if every line can be requested, else 2, as the run would end. `there`: what becomes of what the output holds."""
    import json

    from atonce import Rate
    from atonce.fetch.api import FetchJob
    from atonce.fetch.limits import Policy
    from atonce.fetch.request import mark_of
    from atonce.sink.spool import LARGE

    from .rehearsal import rehearse
    from .talk import plain

    FetchJob(options.get("transport", "auto"), {name: value for name, value in options.items() if name != "transport"})
    found = rehearse(items, lambda request: request.host, mark_of)
    most, concurrency = (n if isinstance(n := options.get(name), int) else None for name in ("per_key", "concurrency"))
    rate = Rate.parse(options["rate"]).a_second if "rate" in options else None
    limits = (most, concurrency, rate)
    if as_json:
        tell(json.dumps(found.as_json(*limits), ensure_ascii=False))
    else:
        largest = options.get("max_body", Policy().max_body)
        for line in found.lines(output, there, *limits, min(largest, LARGE) if "shelf" in options else largest):
            tell(plain(line))
    return 2 if found.bad_lines or not found.items else 0


def _salt(headers: Sequence[tuple[str, str]], no_body: bool) -> str:
    """What of the options has to stay the same when a run goes on, for its rows to be of one kind. What one is known by may
    change: a token expires."""
    from atonce.fetch.secret import is_secret

    kept = sorted(f"{name.lower()}: {value}" for name, value in headers if not is_secret(name) and name.lower() != "user-agent")
    return "\n".join([*kept, "--no-body" if no_body else ""]) if kept or no_body else ""


def _parser(headers: Sequence[tuple[str, str]], credentials: Credentials) -> Callable[[Any], Request]:
    """Makes a request of an item, with the `credentials` of its host; `headers` are for each that does not set them itself."""
    import dataclasses
    import json

    from atonce.errors import InputError
    from atonce.fetch import Request

    def parse(item: Any) -> Request:
        if isinstance(item, dict) and isinstance(item.get("headers"), str) and item["headers"]:  # a .csv has text only
            try:
                item = {**item, "headers": json.loads(item["headers"])}
            except ValueError as error:
                raise InputError(f"its headers are not JSON ({error})", hint='{"Accept": "text/html"}') from None
        request = Request.of(item)
        if credentials:
            request = credentials.added_to(request)
        if not headers:
            return request
        own = {name.lower() for name, _ in request.headers}
        more = tuple(pair for pair in headers if pair[0].lower() not in own)
        return dataclasses.replace(request, headers=request.headers + more)

    return parse


def _repeat(entry: Entry, first: int, how: How) -> Record:
    """The row of a request that is the same as one before: where that is, and whether it was got."""
    from atonce.fetch.page import COLUMNS
    from atonce.fetch.url import shown
    from atonce.sink.row import Row

    from .job import Record

    request: Request = entry.item
    error = None if how.ok else f"as item {first}, which is the same"
    told = {"url": shown(request.url), "method": request.method, "error_class": how.kind or None, "error": error}
    fields: dict[str, Any] = {
        **dict.fromkeys(COLUMNS),
        **told,
        "attempts": 0,
        "bytes": 0,
        "complete": False,
        "headers": [],
        "same_as": first,
    }
    del fields["body"]
    row = Row(entry.index, entry.fingerprint, how.ok, fields, stays=how.stays)
    return Record(how.ok, row, how.stays, how.kind, f"{told['url']}: {error}")


def _revise(line: bytes | None, request: Request) -> Request:
    import json

    from atonce.fetch.validators import conditional

    return conditional(request, None if line is None else json.loads(line))


def _setback(error: BaseException) -> tuple[str, str, str]:
    from atonce.errors import said
    from atonce.fetch.url import host_of, shown

    page: Page | None = getattr(error, "page", None)
    if page is None:
        return (*said(error), "")
    return page.error_class or "", f"{shown(page.url)}: {page.error}", host_of(page.url)


def _recorder(archive: bool, refresh: bool) -> Callable[[Page, Entry], Record]:
    from atonce.fetch.url import host_of, shown
    from atonce.sink.row import Raw

    from .job import Record

    new = tuple.__new__  # makes a named tuple at a third of its cost

    def record(page: Page, entry: Entry) -> Record:
        kind = page.error_class
        # what is gone is gone; what the server or the way to it cannot give just now may be there the next time, and so may be
        # what it refuses for a condition that is none of a GET's (412)
        stays = refresh and (page.status in (304, 412) or kind not in (None, "http-4xx"))
        message = "" if kind is None else f"{shown(page.url)}: {page.error}"
        # a host that was left alone, since it did not answer, is not blamed for more
        host = host_of(page.url) if page.attempts else ""
        before, body, after = page.around_body()
        index, _, fingerprint, request = entry
        raw: Raw = new(Raw, (body, (before, after, index, fingerprint, stays, request if archive else None), None))
        made: Record = new(Record, (kind is None, raw, stays, kind or "", message, host, page.bytes, page.total_s))
        return made

    return record


def _maker(archive: bool, lines: bool) -> Callable[..., Row]:
    """Makes a row of what `_recorder` says of a page, where it is written; with its line in a folder, if `lines`."""
    from atonce.fetch.exchange import exchange_of
    from atonce.fetch.line import line_of
    from atonce.fetch.names import file_name
    from atonce.fetch.page import Page, shown_headers
    from atonce.sink.row import Body, Row

    new = tuple.__new__  # makes a named tuple at a third of its cost

    def make(
        body: bytes,
        sha256: str | None,
        before: tuple[Any, ...],
        after: tuple[Any, ...],
        index: int,
        fingerprint: int,
        stays: bool,
        request: Request | None,
    ) -> Row:
        page: Page = new(Page, (*before, body, *after))
        path = file_name(index, page.url, page.content_type)
        kept: Body | None = new(Body, (body, path, "body", True, page.stored)) if page.complete else None
        if lines and kept is not None:
            line = line_of(page, index, fingerprint, path, kept.size, sha256 or page.sha256 or "")
            made: Row = new(Row, (index, fingerprint, page.error_class is None, {}, kept, None, stays, line))
            return made
        fields = page.row(sha256)
        fields["headers"] = shown_headers(page)
        exchange = exchange_of(page, request) if request is not None else None
        return Row(index, fingerprint, page.ok, fields, kept, exchange, stays)

    return make
