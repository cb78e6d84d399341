"""An nginx of our own: one worker, keep-alive, a static 16 KB file on tmpfs, on a free port of 127.0.0.1.

And one with TLS, for a page of 256 KB that it keeps compressed: what costs whoever gets it more than it costs the server.
"""

from __future__ import annotations

import contextlib
import gzip
import importlib.resources
import os
import random
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from .case import Skip

__all__ = ["PAGE", "SIZE", "serving", "serving_pages"]

SIZE = 16 * 1024
PAGE = 256 * 1024

# what nginx would otherwise keep under /var
_TEMPORARY = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
_CONFIG = """\
daemon off;
worker_processes 1;
pid "{folder}/nginx.pid";
error_log "{folder}/error.log";
events {{ worker_connections 4096; }}
http {{
    access_log off;
    default_type application/octet-stream;
    sendfile on;
    tcp_nodelay on;
    keepalive_timeout 120s;
    keepalive_requests 10000000;
    open_file_cache max=100;
    {temporary}
    server {{
        listen 127.0.0.1:{port} backlog=4096 {tls};
        {certificate}
        gzip_static on;
        root "{folder}/html";
    }}
}}
"""


def serving() -> contextlib.AbstractContextManager[dict[str, str]]:
    """Serves while the block runs; `BENCH_URL` is the file's address. Raises Skip when there is no nginx."""
    return _serving("http", "16k.bin")


def serving_pages() -> contextlib.AbstractContextManager[dict[str, str]]:
    """The same for the page, over TLS."""
    return _serving("https", "page.html")


@contextlib.contextmanager
def _serving(scheme: str, name: str) -> Iterator[dict[str, str]]:
    program = shutil.which("nginx", path=os.environ.get("PATH", os.defpath) + ":/usr/sbin:/usr/local/sbin")
    if program is None:
        raise Skip("nginx is not installed (Debian, Ubuntu: apt install nginx-light)")
    memory = "/dev/shm" if os.path.isdir("/dev/shm") and os.access("/dev/shm", os.W_OK) else None
    with tempfile.TemporaryDirectory(prefix="atonce-bench-", dir=memory) as folder:
        os.chmod(folder, 0o755)  # nginx's worker may be another user
        port = _free_port()
        config = _prepare(Path(folder), port, tls=scheme == "https")
        process = subprocess.Popen(
            [program, "-c", str(config), "-p", folder],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            _wait(process, port, Path(folder))
            yield {"BENCH_URL": f"{scheme}://127.0.0.1:{port}/{name}"}
        finally:
            process.terminate()  # the master ends its worker
            process.wait()


def _prepare(folder: Path, port: int, *, tls: bool) -> Path:
    html = folder / "html"
    html.mkdir()
    (html / "16k.bin").write_bytes(bytes(range(256)) * (SIZE // 256))
    words = random.Random(1).choices(range(10**6), k=PAGE // 8)
    page = " ".join(f"{word:07}" for word in words).encode()[: PAGE - 1] + b"\n"
    (html / "page.html").write_bytes(page)
    (html / "page.html.gz").write_bytes(gzip.compress(page))
    temporary = "\n    ".join(f'{name}_temp_path "{folder}/{name}";' for name in _TEMPORARY)
    config = folder / "nginx.conf"
    config.write_text(
        _CONFIG.format(
            folder=folder,
            port=port,
            temporary=temporary,
            tls="ssl" if tls else "",
            certificate=_certificate() if tls else "",
        ),
        encoding="utf-8",
    )
    return config


def _certificate() -> str:
    """The lab's, which nobody trusts."""
    folder = importlib.resources.files("atonce.lab") / "certificates"
    return f'ssl_certificate "{folder / "self-signed.pem"}"; ssl_certificate_key "{folder / "self-signed.pem"}";'


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait(process: subprocess.Popen[bytes], port: int, folder: Path) -> None:
    until = time.monotonic() + 10
    while time.monotonic() < until and process.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            time.sleep(0.02)
    log = folder / "error.log"
    said = log.read_text(encoding="utf-8", errors="replace").strip() if log.exists() else ""
    raise Skip("nginx does not start" + (f": {said.splitlines()[-1]}" if said else ""))
