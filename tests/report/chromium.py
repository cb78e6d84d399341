"""A Chromium without a window, spoken to through a pipe by the DevTools protocol: `Browser`, and `Tab`, one page in it.

No driver and no port: `--remote-debugging-pipe` reads messages from descriptor 3 and writes them to 4, each ended by a NUL.
"""

from __future__ import annotations

import base64
import itertools
import json
import os
import select
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Any

__all__ = ["WHERE", "Browser", "Tab"]

WHERE = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
PATIENCE = 25.0
# Puts the pipe where Chromium looks for it, whatever the numbers were here.
EXEC = "import os, sys; r, w = map(int, sys.argv[1:3]); r, w = os.dup(r), os.dup(w); r, w = os.dup(r), os.dup(w); " \
    "os.dup2(r, 3); os.dup2(w, 4); os.closerange(5, 64); os.execv(sys.argv[3], sys.argv[3:])"  # fmt: skip


class Browser:
    """`with Browser() as browser: tab = browser.open(path)`. Ended with all its processes, its folder removed."""

    def __enter__(self) -> Browser:
        assert WHERE is not None
        self._folder = tempfile.mkdtemp(prefix="atonce-chromium-")
        theirs, self._out = os.pipe()
        self._in, answers = os.pipe()
        flags = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run", "--lang=en"]
        flags += ["--disable-background-networking", "--disable-component-update", "--disable-extensions", "--hide-scrollbars"]
        flags += ["--remote-debugging-pipe", f"--user-data-dir={self._folder}"]
        self._process = subprocess.Popen(
            [sys.executable, "-c", EXEC, str(theirs), str(answers), WHERE, *flags],
            pass_fds=(theirs, answers),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        os.close(theirs)
        os.close(answers)
        self._rest = b""
        self._numbers = itertools.count(1)
        self.events: list[dict[str, Any]] = []
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None) -> None:
        try:
            self.call("Browser.close")
        except (OSError, EOFError):
            pass
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            os.killpg(self._process.pid, 9)
            self._process.wait()
        os.close(self._in)
        os.close(self._out)
        shutil.rmtree(self._folder, ignore_errors=True)

    def call(self, method: str, session: str | None = None, **parameters: Any) -> dict[str, Any]:
        number = next(self._numbers)
        message = {"id": number, "method": method, "params": parameters, **({"sessionId": session} if session else {})}
        os.write(self._out, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._read()
            if answer.get("id") == number:
                if "error" in answer:
                    raise RuntimeError(f"{method}: {answer['error']}")
                result: dict[str, Any] = answer["result"]
                return result
            self.events.append(answer)

    def _read(self) -> dict[str, Any]:
        while b"\0" not in self._rest:
            if not select.select([self._in], [], [], PATIENCE)[0]:
                raise TimeoutError(f"Chromium has said nothing for {PATIENCE} s")
            piece = os.read(self._in, 1 << 20)
            if not piece:
                raise EOFError("Chromium has ended")
            self._rest += piece
        message, _, self._rest = self._rest.partition(b"\0")
        parsed: dict[str, Any] = json.loads(message)
        return parsed

    def until(self, session: str, method: str) -> None:
        """Until that event has come; those before it are kept."""
        seen = 0
        while True:
            if any(event.get("method") == method and event.get("sessionId") == session for event in self.events[seen:]):
                return
            seen = len(self.events)
            self.events.append(self._read())

    def open(self, path: Path, *, width: int = 1280, height: int = 900, dark: bool = False) -> Tab:
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        return Tab(self, session, path, width, height, dark)


class Tab:
    """A page that has been opened and has drawn itself. `requests` are the addresses it has asked for, `complaints` errors of
    scripts, of the console and of the policy."""

    def __init__(self, browser: Browser, session: str, path: Path, width: int, height: int, dark: bool) -> None:
        self._browser, self._session = browser, session
        for domain in ("Page", "Runtime", "Network", "Log"):
            self.call(f"{domain}.enable")
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)
        scheme = "dark" if dark else "light"
        self.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
        self.call("Page.navigate", url=path.as_uri())
        browser.until(session, "Page.loadEventFired")
        self.ask(
            "new Promise(done => { const look = () => document.documentElement.dataset.ready"
            " ? requestAnimationFrame(() => done(true)) : setTimeout(look, 10); look(); })"
        )

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        return self._browser.call(method, self._session, **parameters)

    def ask(self, expression: str) -> Any:
        """The value of an expression in the page; a promise is awaited."""
        answer = self.call("Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True)
        if "exceptionDetails" in answer:
            raise RuntimeError(f"{expression}: {answer['exceptionDetails']}")
        return answer["result"].get("value")

    def text(self, selector: str) -> str:
        return str(self.ask(f"document.querySelector({json.dumps(selector)}).innerText"))

    def click(self, selector: str) -> None:
        self.ask(f"document.querySelector({json.dumps(selector)}).click()")

    def mouse(self, kind: str, x: float, y: float, **more: Any) -> None:
        self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, **more)

    def key(self, key: str) -> None:
        self.call("Input.dispatchKeyEvent", type="keyDown", key=key, **({"text": key} if len(key) == 1 else {}))
        self.call("Input.dispatchKeyEvent", type="keyUp", key=key)

    def picture(self, path: Path, *, whole: bool = True) -> None:
        """A screenshot."""
        path.write_bytes(base64.b64decode(self.call("Page.captureScreenshot", captureBeyondViewport=whole)["data"]))

    @property
    def _events(self) -> list[dict[str, Any]]:
        return [event for event in self._browser.events if event.get("sessionId") == self._session]

    @property
    def requests(self) -> list[str]:
        sent = [event for event in self._events if event["method"] == "Network.requestWillBeSent"]
        return [event["params"]["request"]["url"] for event in sent]

    @property
    def complaints(self) -> list[str]:
        found = []
        for event in self._events:
            match event["method"]:
                case "Runtime.exceptionThrown":
                    found.append(str(event["params"]["exceptionDetails"].get("exception", {}).get("description")))
                case "Runtime.consoleAPICalled":
                    found.append(str(event["params"]["args"]))
                case "Log.entryAdded":
                    found.append(event["params"]["entry"]["text"])
        return found
