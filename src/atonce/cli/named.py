"""The files that a command names: each is another one, and what is written over is of its own kind: `check_files`."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Mapping

from atonce.errors import OutputError, UsageError
from atonce.sink import kind_of

__all__ = ["check_files"]

# what an output keeps beside itself, or within itself, by the ending of what -o names
_BESIDE = ("", ".new", ".lock", "-wal", "-shm", "-journal")
_WITHIN = {
    "/": re.compile(r"(manifest|refresh)\.jsonl(\.new|\.lock)?|\.partial(/.*)?|[0-9a-f]{2}/.*"),
    ".parquet": re.compile(r"part-.*|\.part|\.lock"),
}


def check_files(output: str, *, read: Mapping[str, str | None], trace: str | None, report: str | None) -> None:
    """Before anything runs. `read` are the files that are only read, by their option. Raises UsageError."""
    written = {"--trace": trace, "--report": report}
    named = {option: path for option, path in {**read, **written}.items() if path is not None and path != "-"}
    for option, file in named.items():
        if _is_in(file, output):
            what = f"{option} {file} is a file of the output, -o {output}"
            raise UsageError(what, hint=f"another name for {'-o' if option in read else option}")
    options = list(named)
    for place, option in enumerate(options):
        for other in options[:place]:
            if written.get(option) is not None and _same(named[option], named[other]):
                raise UsageError(f"{option} {named[option]} is the file of {other}, too", hint=f"another name for {option}")
    if trace is not None and not trace.endswith((".json", ".json.gz")):
        raise UsageError(f"--trace {trace}: its name does not end in .json or .json.gz", hint="--trace run.json.gz")
    if trace is not None or report is not None:
        from atonce.report.page import refuse_foreign as refuse_page
        from atonce.sink.trace import refuse_foreign as refuse_trace

        for option, refuse in (("--trace", refuse_trace), ("--report", refuse_page)):
            if (path := written[option]) is not None:
                _check_place(option, path)
                try:
                    refuse(path)
                except OutputError as error:
                    raise UsageError(error.what, hint=f"another name for {option}") from None


def _is_in(path: str, output: str) -> bool:
    """Whether the output has this file for itself."""
    if output == "-":
        return _is_stdout(path)
    kind, path = kind_of(output), os.path.realpath(path)
    if kind in _WITHIN:
        inside = os.path.relpath(path, os.path.realpath(output)).replace(os.sep, "/")
        return _WITHIN[kind].fullmatch(inside) is not None
    files = [output, f"{output}.jsonl"] if kind == ".warc.gz" else [output]
    return any(_same(path, f"{file}{ending}") for file in files for ending in _BESIDE)


def _same(one: str, other: str) -> bool:
    if os.path.realpath(one) == os.path.realpath(other):
        return True
    try:
        return os.path.samefile(one, other)
    except OSError:  # one of them is not there yet
        return False


def _is_stdout(path: str) -> bool:
    try:
        found, out = os.stat(path), os.fstat(1)
    except OSError:
        return False
    return stat.S_ISREG(out.st_mode) and os.path.samestat(found, out)


def _check_place(option: str, path: str) -> None:
    """That a file can be made there, or written over."""
    folder = os.path.dirname(os.path.abspath(path))
    why = None
    if not os.path.isdir(folder):
        why = f"there is no folder {folder}"
    elif os.path.isdir(path):
        why = "it is a folder"
    elif os.path.lexists(path) and not os.path.isfile(path):
        why = "it is not a regular file"
    elif not os.access(path if os.path.lexists(path) else folder, os.W_OK):
        why = "you may not write there"
    if why is not None:
        raise UsageError(f"{option} {path} cannot be made: {why}", hint="a file in a folder that is there")
