"""An nginx of our own: one worker, keep-alive, a static 16 KB file on tmpfs, on a free port of 127.0.0.1.

And one with TLS, for a page of 256 KB that it keeps compressed: what costs whoever gets it more than it costs the server.
And one that answers late, at several addresses.
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
from collections.abc import Iterator, Sequence
from pathlib import Path

from .case import Skip

__all__ = ["DELAY", "HOSTS", "PAGE", "SIZE", "serving", "serving_pages", "serving_slowly"]

SIZE = 16 * 1024
PAGE = 256 * 1024
# Seconds that a slow answer takes, and the addresses it is had from: several hosts to a client.
DELAY = 0.05
HOSTS = 8
# The module that answers late, where Debian's nginx has it.
_ECHO = "/usr/lib/nginx/modules/ngx_http_echo_module.so"

# what nginx would otherwise keep under /var
_TEMPORARY = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
_CONFIG = """\
{modules}
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
        {more}
        gzip_static on;
        root "{folder}/html";
    }}
}}
"""


@contextlib.contextmanager
def serving() -> Iterator[dict[str, str]]:
    """Serves while the block runs; `BENCH_URL` is the file's address. Raises Skip when there is no nginx."""
    with _nginx() as port:
        yield {"BENCH_URL": f"http://127.0.0.1:{port}/16k.bin"}


@contextlib.contextmanager
def serving_pages() -> Iterator[dict[str, str]]:
    """The same for the page, over TLS."""
    with _nginx(tls="ssl", more=_certificate()) as port:
        yield {"BENCH_URL": f"https://127.0.0.1:{port}/page.html"}


@contextlib.contextmanager
def serving_slowly() -> Iterator[dict[str, str]]:
    """The file, each answer `DELAY` seconds late; `BENCH_URL` are its addresses at `HOSTS` hosts, with a space between."""
    if not os.path.exists(_ECHO):
        raise Skip("nginx has no echo module (Debian, Ubuntu: apt install libnginx-mod-http-echo)")
    hosts = [f"127.0.0.{number + 1}" for number in range(HOSTS)]
    slowly = f"location /slowly {{ echo_sleep {DELAY}; echo_exec /16k.bin; }}"
    with _nginx(f"load_module {_ECHO};", hosts=hosts[1:], more=slowly) as port:
        yield {"BENCH_URL": " ".join(f"http://{host}:{port}/slowly" for host in hosts)}


@contextlib.contextmanager
def _nginx(modules: str = "", *, tls: str = "", hosts: Sequence[str] = (), more: str = "") -> Iterator[int]:
    """Its port, while the block runs. `hosts`: other addresses it has; `more`: lines of its configuration."""
    program = shutil.which("nginx", path=os.environ.get("PATH", os.defpath) + ":/usr/sbin:/usr/local/sbin")
    if program is None:
        raise Skip("nginx is not installed (Debian, Ubuntu: apt install nginx-light)")
    memory = "/dev/shm" if os.path.isdir("/dev/shm") and os.access("/dev/shm", os.W_OK) else None
    with tempfile.TemporaryDirectory(prefix="atonce-bench-", dir=memory) as folder:
        os.chmod(folder, 0o755)  # nginx's worker may be another user
        port = _free_port()
        more = " ".join([*(f"listen {host}:{port} backlog=4096;" for host in hosts), more])
        config = _prepare(Path(folder), port=port, modules=modules, tls=tls, more=more)
        process = subprocess.Popen(
            [program, "-c", str(config), "-p", folder],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            _wait(process, port, Path(folder))
            yield port
        finally:
            process.terminate()  # the master ends its worker
            process.wait()


def _prepare(folder: Path, **values: object) -> Path:
    html = folder / "html"
    html.mkdir()
    (html / "16k.bin").write_bytes(bytes(range(256)) * (SIZE // 256))
    words = random.Random(1).choices(range(10**6), k=PAGE // 8)
    page = " ".join(f"{word:07}" for word in words).encode()[: PAGE - 1] + b"\n"
    (html / "page.html").write_bytes(page)
    (html / "page.html.gz").write_bytes(gzip.compress(page))
    temporary = "\n    ".join(f'{name}_temp_path "{folder}/{name}";' for name in _TEMPORARY)
    config = folder / "nginx.conf"
    config.write_text(_CONFIG.format(folder=folder, temporary=temporary, **values), encoding="utf-8")
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
