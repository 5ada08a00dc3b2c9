"""Headless Chromium as a reader of the report: opens a file, clicks, types, and tells what the page asked for."""

import base64
import json
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
OPTIONS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking"
    " --disable-component-update --disable-sync --hide-scrollbars --remote-debugging-pipe"
)
PATIENCE = 60.0  # s


class Browser:
    """A page of Chromium, driven by the DevTools protocol over two pipes.

    Attributes
    ----------
    requested : the addresses that the page has asked for
    complaints : errors of its scripts, and what its security policy refused
    """

    def __init__(self, profile: str) -> None:
        self.requested: list[str] = []
        self.complaints: list[str] = []
        self._number, self._rest = 0, b""
        commands, self._commands = os.pipe()
        self._answers, answers = os.pipe()

        def connect() -> None:  # Chromium reads commands from 3, and writes answers to 4
            first, second = os.dup(commands), os.dup(answers)
            os.dup2(first, 3)
            os.dup2(second, 4)

        self._process = subprocess.Popen(
            [CHROMIUM, *OPTIONS.split(), f"--user-data-dir={profile}", "about:blank"],
            preexec_fn=connect, close_fds=False, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        os.close(commands)
        os.close(answers)
        self._session = ""
        target = self._ask("Target.createTarget", url="about:blank")["targetId"]
        self._session = self._ask("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Network", "Log"):
            self._ask(f"{domain}.enable")
        self._ask("Network.emulateNetworkConditions", offline=True, latency=0, downloadThroughput=0, uploadThroughput=0)

    def close(self) -> None:
        """End the browser."""
        self._process.terminate()
        self._process.wait(PATIENCE)
        os.close(self._commands)
        os.close(self._answers)

    def size(self, width: int, height: int = 900, dark: bool = False) -> None:
        """Give the page a width and a height in pixels, and light or dark colours."""
        self._ask("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self._ask("Emulation.setEmulatedMedia", features=[scheme])

    def open(self, page: Path, place: str = "") -> float:
        """Open a file at a place (what follows #); return how long it took until its first view was there, in s."""
        began = time.monotonic()
        self._ask("Page.navigate", url="about:blank")
        self._ask("Page.navigate", url=page.absolute().as_uri() + (f"#{place}" if place else ""))
        self.wait("document.readyState === 'complete' && document.documentElement.dataset.ready === 'yes'")
        return time.monotonic() - began

    def run(self, script: str) -> Any:
        """Run a script; return its value. It may be a promise."""
        found = self._ask("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in found:
            raise AssertionError(found["exceptionDetails"]["exception"].get("description", found))
        return found["result"].get("value")

    def wait(self, condition: str) -> None:
        """Wait until a condition holds."""
        end = time.monotonic() + PATIENCE
        while not self.run(condition):
            assert time.monotonic() < end, f"{condition} does not come true; {self.complaints}"
            time.sleep(0.02)

    def go(self, place: str) -> None:
        """Go to another place of the page."""
        painted = "new Promise(done => requestAnimationFrame(() => setTimeout(done)))"
        self.run(f"location.hash = {json.dumps('#' + place)}; {painted}")

    def press(self, key: str, code: int = 0) -> None:
        """Press a key."""
        text = {"text": key} if len(key) == 1 else {"text": "\r"} if key == "Enter" else {}
        for kind in ("keyDown", "keyUp"):
            more = text if kind == "keyDown" else {}
            self._ask("Input.dispatchKeyEvent", type=kind, key=key, windowsVirtualKeyCode=code, **more)

    def click(self, selector: str) -> None:
        """Click on the middle of an element."""
        box = self.run(
            f"(e => (e.scrollIntoView({{block: 'center'}}), e.getBoundingClientRect().toJSON()))"
            f"(document.querySelector({json.dumps(selector)}))"
        )
        place = {"x": box["x"] + box["width"] / 2, "y": box["y"] + box["height"] / 2, "button": "left", "clickCount": 1}
        for kind in ("mouseMoved", "mousePressed", "mouseReleased"):
            self._ask("Input.dispatchMouseEvent", type=kind, **place)

    def save_to(self, folder: Path) -> None:
        """Let what the page saves go into a folder."""
        self._ask("Page.setDownloadBehavior", behavior="allow", downloadPath=str(folder))

    def screenshot(self, to: Path, whole: bool = True) -> None:
        """Take a picture of the page; `whole` also of what is below the window."""
        found = self._ask("Page.captureScreenshot", format="png", captureBeyondViewport=whole)
        to.write_bytes(base64.b64decode(found["data"]))

    def _ask(self, method: str, **parameters: Any) -> dict[str, Any]:
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._commands, json.dumps(message).encode() + b"\0")
        for answer in self._messages():
            if answer.get("id") == self._number:
                assert "error" not in answer, f"{method}: {answer['error']}"
                return answer["result"]
        raise AssertionError("Chromium has ended")

    def _messages(self) -> Iterator[dict[str, Any]]:
        while True:
            whole, end, rest = self._rest.partition(b"\0")
            if end:
                self._rest = rest
                message = json.loads(whole)
                self._note(message)
                yield message
            else:
                more = os.read(self._answers, 1 << 20)
                if not more:
                    return
                self._rest += more

    def _note(self, message: dict[str, Any]) -> None:
        about = message.get("params", {})
        if message.get("method") == "Network.requestWillBeSent":
            self.requested.append(about["request"]["url"])
        elif message.get("method") == "Runtime.exceptionThrown":
            details = about["exceptionDetails"]
            self.complaints.append(details.get("exception", {}).get("description") or details["text"])
        elif message.get("method") == "Log.entryAdded" and about["entry"]["level"] in ("error", "warning"):
            self.complaints.append(f"{about['entry']['text']} {about['entry'].get('url', '')}")


@contextmanager
def browser() -> Iterator[Browser]:
    """Give a page of a new browser, as a context manager."""
    with tempfile.TemporaryDirectory(prefix="mirflow-browser-", ignore_cleanup_errors=True) as profile:
        page = Browser(profile)
        try:
            yield page
        finally:
            page.close()
