"""One self-contained page: `page_of` puts plain data into the template, so that nothing in the data can be markup.

    data ──► JSON ──► deflate ──► base64 ──► <script type="application/octet-stream">   (letters, digits, + / = only)
                                             page.js unpacks it and writes it by textContent alone

A Content-Security-Policy of hashes lets the page's own scripts and style run and nothing else, and nothing be asked for.
"""

from __future__ import annotations

import base64
import hashlib
import html
import json
import os
import tempfile
import zlib
from importlib.resources import files
from typing import Any

from ..errors import OutputError, remedy
from ..plain import line, plain

__all__ = ["page_of", "refuse_foreign", "write"]

# How one of our pages begins: nothing else is overwritten.
BEGIN = "<!doctype html>\n<!-- a page of atonce -->\n"
SCRIPTS = ("vendor/uplot.min.js", "charts.js", "timeline.js", "page.js")
STYLES = ("vendor/uplot.min.css", "page.css")


def page_of(data: dict[str, Any], title: str, text: str) -> str:
    """The page of `data`; `text` is for readers without scripts."""
    own = files(__package__)
    scripts = [own.joinpath(name).read_text(encoding="utf-8") for name in SCRIPTS]
    style = "\n".join(own.joinpath(name).read_text(encoding="utf-8") for name in STYLES)
    strings = json.loads(own.joinpath("strings.json").read_text(encoding="utf-8"))
    licence = own.joinpath("vendor/LICENSE").read_text(encoding="utf-8")
    packed = base64.b64encode(zlib.compress(json.dumps({"strings": strings, **data}).encode("ascii"), 6)).decode("ascii")
    policy = (
        f"default-src 'none'; script-src {' '.join(map(_hash, scripts))}; style-src {_hash(style)}; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )
    code = "\n".join(f"<script>{script}</script>" for script in scripts)
    return f"""{BEGIN}<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{html.escape(line(title))}</title>
<link rel="icon" href="data:,">
<style>{style}</style>
</head>
<body>
<main id="page"></main>
<noscript><pre>{html.escape(plain(text))}</pre></noscript>
<script type="application/octet-stream" id="data">{packed}</script>
<!-- uPlot, which draws the charts:
{licence}
-->
{code}
</body>
</html>
"""


def _hash(text: str) -> str:
    # a browser hashes what it has read: with line ends as they are in the page
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def write(path: str | os.PathLike[str], page: str) -> str:
    """Write it, whole or not at all, and give the absolute path. A page is overwritten, another file is not."""
    path = os.path.abspath(path)
    try:
        refuse_foreign(path)
        # mkstemp: mode 0600, since a page has the items in it
        handle, temporary = tempfile.mkstemp(prefix=".atonce-", suffix=".html", dir=os.path.dirname(path))
        try:
            with os.fdopen(handle, "w", encoding="utf-8", errors="backslashreplace", newline="\n") as file:
                file.write(page)
            os.replace(temporary, path)
        except BaseException:
            os.unlink(temporary)
            raise
    except OSError as error:
        raise OutputError(f"the page {path} cannot be made: {error.strerror}", hint=remedy(error)) from error
    return path


def refuse_foreign(path: str) -> None:
    """Raises OutputError where a file is there that is no page of ours, and so would not be overwritten."""
    try:
        with open(path, "rb") as file:
            head = file.read(len(BEGIN))
    except FileNotFoundError:
        return
    except OSError as error:
        raise OutputError(f"the page {path} cannot be made: {error.strerror}") from error
    if head and head != BEGIN.encode():
        raise OutputError(f"{path} is not a page of atonce, and is not overwritten", hint="another name for the page")
