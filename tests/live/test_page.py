"""The control page in a browser: every control does what it says, and nothing complains."""

from __future__ import annotations

import base64
import itertools
import json
import re
import shutil
import subprocess
import threading
import time
import urllib.request
from pathlib import Path
from typing import Any

import cv2
import keyed
import numpy as np
import pytest
import websocket
from waiting import until

from mattecast.live.control import redirecting, serve

BROWSER = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
pytestmark = [
    pytest.mark.skipif(BROWSER is None, reason="no Chromium (apt-get install chromium)"),
    pytest.mark.slow,
]


class Page:
    """A page in a browser without a window, over its DevTools protocol."""

    def __init__(self, address: str, home: Path) -> None:
        assert BROWSER is not None
        self._browser = subprocess.Popen(
            [
                BROWSER,
                "--headless=new",
                "--no-sandbox",
                "--disable-gpu",
                "--window-size=1280,1000",
                "--remote-debugging-port=0",
                f"--user-data-dir={home}",
                "about:blank",
            ],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert self._browser.stderr is not None
        port = next(
            found[1]
            for line in self._browser.stderr
            if (found := re.search(r"ws://[^/]+:(\d+)/", line))
        )
        self._drain = threading.Thread(target=self._browser.stderr.read)
        self._drain.start()
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/json", timeout=30) as answer:
            tabs = json.load(answer)
        where = next(tab["webSocketDebuggerUrl"] for tab in tabs if tab["type"] == "page")
        self._link = websocket.create_connection(where, suppress_origin=True, timeout=60)
        self._numbers = itertools.count(1)
        self.complaints: list[str] = []
        for domain in ("Runtime", "Log", "Page"):
            self._do(f"{domain}.enable")
        self._do("Page.navigate", url=address)

    def _do(self, method: str, **parameters: Any) -> dict[str, Any]:
        number = next(self._numbers)
        self._link.send(json.dumps({"id": number, "method": method, "params": parameters}))
        while (message := json.loads(self._link.recv())).get("id") != number:
            if message["method"] in (
                "Runtime.exceptionThrown",
                "Runtime.consoleAPICalled",
                "Log.entryAdded",
            ):
                self.complaints.append(json.dumps(message["params"]))
        return dict(message.get("result", {}))

    def js(self, expression: str) -> Any:
        """What an expression is in the page."""
        found = self._do("Runtime.evaluate", expression=expression, returnByValue=True)
        return found["result"].get("value")

    def text_of(self, name: str) -> str:
        """The words of an element."""
        return str(self.js(f"document.getElementById('{name}').textContent"))

    def click(self, selector: str, part: float = 0.5) -> None:
        """Press the mouse on an element. part: of its width."""
        x, y, width = self.js(
            f"(box => [box.x, box.y + box.height / 2, box.width])"
            f"(document.querySelector({json.dumps(selector)}).getBoundingClientRect())"
        )
        for kind in ("mousePressed", "mouseReleased"):
            self._do(
                "Input.dispatchMouseEvent",
                type=kind,
                x=x + part * width,
                y=y,
                button="left",
                clickCount=1,
            )

    def type(self, selector: str, text: str) -> None:
        """Type into an element, and press Enter."""
        self.click(selector)
        self._do("Input.insertText", text=text)
        for kind in ("keyDown", "keyUp"):
            self._do(
                "Input.dispatchKeyEvent",
                type=kind,
                key="Enter",
                code="Enter",
                text="\r",
                windowsVirtualKeyCode=13,
            )

    def picture(self) -> np.ndarray:
        """The page as it is seen: (H, W, 3) uint8 BGR."""
        data = base64.b64decode(self._do("Page.captureScreenshot")["data"])
        return np.asarray(cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR))

    def close(self) -> None:
        """End the browser."""
        self._do("Browser.close")
        self._link.close()
        self._browser.wait(20)
        self._drain.join()
        self._browser.stderr.close()


@pytest.fixture(scope="module")
def session(tmp_path_factory):
    """A session that runs a clip and sends it nowhere."""
    with keyed.session(tmp_path_factory.mktemp("page")) as made:
        yield made


@pytest.fixture
def page(session, tmp_path, monkeypatch):
    """The session's page, with a camera to choose: the clip once more."""
    monkeypatch.setattr("mattecast.live.control.camera_names", lambda: ["Cam A"])
    monkeypatch.setattr(
        "mattecast.live.session.camera", lambda name, requested: session.capture.input
    )
    with serve(session) as address:
        page = Page(address, tmp_path / "browser")
        try:
            until(lambda: "live" in page.text_of("state"), 60, "the page's first status")
            yield page
        finally:
            page.close()


def test_every_control_does_what_it_says(page, session):
    def setting(name: str) -> Any:
        return getattr(session.matting.controls.settings, name)

    page.click("#toggle")
    until(lambda: page.text_of("toggle") == "off: the camera as it is", 10, "off")
    assert not session.matting.controls.on
    page.click("#toggle")
    until(lambda: session.matting.controls.on and page.text_of("toggle") == "on", 10, "on")
    for name in ("blur", "green", "black", "white"):
        page.click(f"[data-name={name}]")
        until(lambda name=name: setting("background") == name, 10, name)
        pressed = f"document.querySelector('[data-name={name}]').ariaPressed"
        until(lambda pressed=pressed: page.js(pressed) == "true", 10, f"{name} is marked")
    page.type("#other", "#336699")
    until(lambda: setting("background") == "#336699", 10, "a colour")
    page.click("[data-name=none]")
    until(lambda: setting("background") in ("none", None), 10, "none")
    for name, part, most in (("choke", 0.97, 5.0), ("feather", 0.97, 10.0), ("gamma", 0.97, 3.0)):
        page.click(f"input[data-name={name}]", part)
        until(lambda name=name, most=most: 0.85 * most < setting(name) <= most, 10, name)
        number = f"document.querySelector('input[data-name={name}]').nextElementSibling.value"
        assert float(page.js(number)) == setting(name)
    page.click("input[data-name=smooth]", 0.5)
    until(lambda: setting("smooth").startswith("causal:0."), 10, "smoothing")
    until(lambda: page.js("camera.options.length") == 2, 20, "the cameras")
    page.js("camera.selectedIndex = 1; camera.onchange({target: camera})")
    until(lambda: page.text_of("message") == "camera: bar.mkv", 10, "another camera")
    assert not page.complaints
    for selector in ("#place", "#sync"):
        page.click(selector)
        until(lambda: "OBS" in page.text_of("message"), 10, "that there is no OBS")


def test_picture_and_graph_are_drawn_without_a_complaint(page):
    size = "[preview.naturalWidth, preview.naturalHeight]"
    until(lambda: page.js(size) == list(keyed.SIZE), 20, "the picture")
    until(lambda: page.js("history.length > 4") or time.sleep(0.2), 20, "some statuses")
    seen = page.picture().reshape(-1, 3).astype(int)
    for colour in ((0xFF, 0xB3, 0x6F), (0x5C, 0xB6, 0xE0), (0x8F, 0xC9, 0x79)):
        assert (np.abs(seen - colour).max(axis=1) < 24).sum() > 30, "a line of the graph"
    assert not page.complaints, page.complaints


def test_our_own_file_leads_a_browser_to_the_page(session, tmp_path):
    with serve(session) as address, redirecting(address) as file:
        page = Page(file.as_uri(), tmp_path / "browser")
        try:
            until(lambda: page.js("location.href") == address, 20, "the page's address")
            until(lambda: "live" in page.text_of("state"), 20, "the page's first status")
            until(lambda: page.js("preview.naturalWidth"), 20, "the picture")
        finally:
            page.close()


def test_what_has_ended_is_reported_and_shows_nobody(session, tmp_path):
    with serve(session) as address:
        page = Page(address, tmp_path / "browser")
        until(lambda: page.js("preview.naturalWidth"), 60, "the picture")
    try:
        until(lambda: "does not answer" in page.text_of("state"), 20, "that it has ended")
        until(lambda: not page.js("preview.hasAttribute('src')"), 20, "nobody")
    finally:
        page.close()
