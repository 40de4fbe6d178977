"""The control page: who may ask, what may be asked, and that nothing it is sent breaks it."""

from __future__ import annotations

import http.client
import json
import socket
import sys
import threading
import webbrowser
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import cv2
import keyed
import numpy as np
import pytest
from commands import call
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from waiting import until

from mattecast.errors import UsageError
from mattecast.live import control
from mattecast.live.control import LONGEST, preview, read_command, serve
from mattecast.live.picture import Picture
from mattecast.live.session import COMMANDS


@pytest.fixture(scope="module")
def session(tmp_path_factory):
    """A session that runs a clip and sends it nowhere."""
    with keyed.session(tmp_path_factory.mktemp("control")) as made:
        yield made


@pytest.fixture(scope="module")
def page(session):
    """(port, token) of its page."""
    with serve(session) as address:
        parts = urlsplit(address)
        assert parts.hostname == "127.0.0.1"
        yield parts.port, parse_qs(parts.query)["token"][0]


def ask(page, path="/status", *, method="GET", body=None, headers=None, token=None):
    """(status, body) of one request, by default with the right token."""
    port, right = page
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        mark = right if token is None else token
        connection.request(method, f"{path}?token={mark}", body, headers or {})
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def do(page, body, **headers):
    """(status, answer) of a command."""
    kind = {"Content-Type": "application/json", **headers}
    status, answer = ask(page, "/do", method="POST", body=body, headers=kind)
    return status, json.loads(answer)


def test_it_listens_on_this_machine_only(page):
    port, _ = page
    others = {one[4][0] for one in socket.getaddrinfo(socket.gethostname(), None, socket.AF_INET)}
    for other in others - {"127.0.0.1"}:
        with socket.socket() as probe:
            probe.settimeout(2)
            assert probe.connect_ex((other, port)) != 0, other


def test_page_status_and_preview(page, session):
    status, body = ask(page, "/")
    assert status == 200 and b"<title>mattecast live" in body
    status, body = ask(page)
    status_now = json.loads(body)
    assert status == 200 and status_now["size"] == list(keyed.SIZE)
    until(lambda: session.status()["fps_out"] > 0, 10, "a rate")
    status, body = ask(page, "/preview.jpg")
    seen = cv2.imdecode(np.frombuffer(body, np.uint8), cv2.IMREAD_COLOR)
    assert status == 200 and seen.shape[:2] == keyed.SIZE[::-1]
    status, body = ask(page, "/choices")
    assert status == 200 and set(json.loads(body)["commands"]) == set(COMMANDS)


@pytest.mark.parametrize("token", ["", "x", "%00", "é".encode().hex(), "A" * 32, "A" * 9000])
def test_without_the_token_nothing_is_served(page, token):
    for path in ("/", "/status", "/preview.jpg", "/choices", "/nothing"):
        status, body = ask(page, path, token=token)
        assert status in (403, 414) and b"mattecast live" not in body


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1"},
        {"Host": "evil.example"},
        {"Host": "localhost"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
)
def test_foreign_pages_are_refused_even_with_the_token(page, session, headers):
    before = session.matting.controls
    assert ask(page, headers=headers)[0] == 403
    body = json.dumps({"name": "off"})
    kind = {"Content-Type": "application/json", **headers}
    assert ask(page, "/do", method="POST", body=body, headers=kind)[0] == 403
    assert session.matting.controls is before


def test_a_browser_is_led_to_the_page_by_a_link_but_to_nothing_else(page):
    """As our own file does, which is a foreign page to a browser."""
    link = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}
    assert ask(page, "/", headers={**link, "Sec-Fetch-Dest": "document"})[0] == 200
    assert ask(page, "/", headers={**link, "Sec-Fetch-Dest": "iframe"})[0] == 403
    assert ask(page, "/status", headers={**link, "Sec-Fetch-Dest": "document"})[0] == 403


def test_its_own_page_is_served(page):
    port, _ = page
    assert ask(page, headers={"Origin": f"http://127.0.0.1:{port}"})[0] == 200


def test_commands_change_the_picture(page, session):
    assert do(page, json.dumps({"name": "background", "value": "#102030"}))[0] == 200
    until(lambda: session.newest.opaque, 10, "an opaque picture")
    until(lambda: tuple(session.newest.bgra[2, 2]) == (0x30, 0x20, 0x10, 255), 10, "the colour")
    assert do(page, json.dumps({"name": "background", "value": "none"}))[0] == 200
    until(lambda: not session.newest.opaque, 10, "a transparent picture")
    assert do(page, json.dumps({"name": "choke", "value": 4}))[0] == 200
    assert session.matting.controls.settings.choke == 4.0
    assert do(page, json.dumps({"name": "choke", "value": "0"}))[0] == 200
    assert do(page, json.dumps({"name": "off"}))[0] == 200
    until(lambda: session.newest.opaque and session.newest.bgra[2, 2, 3] == 255, 10, "the camera")
    assert do(page, json.dumps({"name": "on"}))[0] == 200


@pytest.mark.parametrize(
    "name, value",
    [
        ("nothing", ""),
        ("choke", "much"),
        ("choke", "1e9"),
        ("choke", "nan"),
        ("gamma", "0"),
        ("background", "no such file.png"),
        ("background", "#12"),
        ("background", "blur:900"),
        ("smooth", "two-way"),
        ("smooth", "7"),
        ("camera", "77"),
        ("place", ""),
        ("sync", "mic"),
    ],
)
def test_commands_that_cannot_be_are_refused_in_one_line(page, session, name, value):
    before = session.matting.controls
    status, answer = do(page, json.dumps({"name": name, "value": value}))
    assert status == 400 and answer["error"] and "\n" not in answer["error"]
    assert session.matting.controls is before and session.check()


@pytest.mark.parametrize(
    "body, headers, status",
    [
        (b"{}", {"Content-Type": "text/plain"}, 415),
        (b"x" * (LONGEST + 1), {}, 413),
        (b"", {"Content-Length": "99999999999999999999"}, 413),
        (b"", {"Content-Length": "-1"}, 411),
        (b"", {"Content-Length": "two"}, 411),
        (b"2\r\n{}\r\n0\r\n\r\n", {"Transfer-Encoding": "chunked"}, 411),
        (b"[" * LONGEST, {}, 400),
        (b'{"name": "off", "more": 1}', {}, 400),
        (b'{"name": ["off"]}', {}, 400),
        (b'{"name": "choke", "value": true}', {}, 400),
        (b"\xff\xfe", {}, 400),
    ],
)
def test_malformed_and_oversized_messages(page, session, body, headers, status):
    before = session.matting.controls
    assert do(page, body, **headers)[0] == status
    assert session.matting.controls is before


@settings(max_examples=80, deadline=None)
@given(
    st.one_of(
        st.binary(max_size=300),
        st.recursive(
            st.none() | st.booleans() | st.floats() | st.text() | st.integers(),
            lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
            max_leaves=8,
        ).map(lambda value: json.dumps(value).encode()),
    )
)
def test_any_message_is_a_command_or_refused(message):
    try:
        name, value = read_command(message)
    except UsageError:
        return
    assert isinstance(name, str) and isinstance(value, str)


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.sampled_from(sorted(set(COMMANDS) - {"quit", "camera"})), st.text(max_size=40))
def test_any_value_is_taken_or_refused(page, session, name, value):
    status, answer = do(page, json.dumps({"name": name, "value": value}))
    assert status in (200, 400) and set(answer) <= {"done", "error"}
    assert session.check()


@settings(
    max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.binary(max_size=400))
def test_any_bytes_leave_it_standing(page, data):
    with socket.create_connection(("127.0.0.1", page[0]), 5) as raw:
        raw.settimeout(0.2)
        try:
            raw.sendall(data)
            raw.shutdown(socket.SHUT_WR)
            raw.recv(1000)
        except (TimeoutError, ConnectionError):
            pass
    assert ask(page)[0] == 200


def test_a_bug_of_ours_is_answered_and_logged(page, session, monkeypatch, caplog):
    def broken() -> None:
        raise KeyError("a bug")

    monkeypatch.setattr(session, "status", broken)
    status, body = ask(page)
    assert status == 500 and "mattecast failed" in json.loads(body)["error"]
    assert "KeyError" in caplog.text and page[1] not in caplog.text


def test_only_a_browser_that_hangs_up_is_ignored(page, session, monkeypatch, caplog):
    """An error outside of what a request asks for, such as one of the server itself."""
    for error in (ConnectionResetError(), TimeoutError(), RuntimeError("a bug of the server")):

        def fail(self, error=error) -> None:
            raise error

        monkeypatch.setattr(control._Handler, "handle", fail)
        with pytest.raises((OSError, http.client.HTTPException)):
            ask(page)
    until(lambda: "a bug of the server" in caplog.text, 5, "a line in the log")
    assert "ConnectionResetError" not in caplog.text and "TimeoutError" not in caplog.text


def test_the_token_is_not_on_the_browsers_command_line(tmp_path, closed_port, monkeypatch):
    """The browser gets a file that nobody else can read, and that is gone in the end."""
    browser, seen = tmp_path / "browser", tmp_path / "seen"
    browser.write_text(
        f"#!{sys.executable}\nimport pathlib, sys, urllib.parse\n"
        "file = pathlib.Path(urllib.parse.urlsplit(sys.argv[1]).path)\n"
        "mode = oct(file.stat().st_mode & 0o777) + oct(file.parent.stat().st_mode & 0o777)\n"
        f"part = pathlib.Path({str(seen)!r} + '.part')\n"
        "part.write_text('\\n'.join([*sys.argv[1:], mode, file.read_text()]))\n"
        f"part.rename({str(seen)!r})\n"
    )
    browser.chmod(0o755)
    # webbrowser reads BROWSER once, when it is used first.
    monkeypatch.setenv("BROWSER", f"{browser} %s")
    monkeypatch.setattr(webbrowser, "_tryorder", None)
    monkeypatch.setattr(webbrowser, "_browsers", {})
    result = call(
        *("live", keyed.clip(tmp_path / "bar.mkv"), "--loop", "--preview", "--for", "0.1"),
        *("-o", f"tcp://127.0.0.1:{closed_port}", "--model", keyed.network(tmp_path)),
    )
    assert result.code == 0, result.err
    address = next(line for line in result.err.splitlines() if "control page: " in line)
    token = parse_qs(urlsplit(address.split()[-1]).query)["token"][0]
    argument, mode, page = seen.read_text().split("\n", 2)
    assert argument.startswith("file://") and token not in argument
    assert mode == "0o6000o700" and f"?token={token}" in page
    assert not Path(urlsplit(argument).path).exists()


def test_an_address_that_is_none_is_refused(page):
    port, _ = page
    with socket.create_connection(("127.0.0.1", port), 5) as raw:
        raw.sendall(f"GET http://[x HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n".encode())
        assert b" 400 " in raw.recv(100)


def test_many_at_once_are_turned_away_and_it_recovers(page, monkeypatch):
    monkeypatch.setattr(control._Handler, "timeout", 0.5)
    held = [socket.create_connection(("127.0.0.1", page[0]), 5) for _ in range(40)]
    assert threading.active_count() < 60
    for one in held:
        one.close()
    until(lambda: _served(page), 10, "an answer after the flood")


def _served(page):
    try:
        return ask(page)[0] == 200
    except (OSError, http.client.HTTPException):
        return False


def test_preview_shows_squares_where_it_is_transparent():
    bgra = np.zeros((90, 1600, 4), np.uint8)
    bgra[:, 800:] = (10, 200, 30, 255)
    seen = cv2.imdecode(np.frombuffer(preview(Picture(bgra, 0.0)), np.uint8), cv2.IMREAD_COLOR)
    assert seen.shape == (36, 640, 3)
    assert np.abs(seen[:, 400:].astype(int) - (10, 200, 30)).max() <= 6
    left = seen[:, :300].astype(int)
    assert np.ptp(left, axis=2).max() <= 6 and left.max() - left.min() > 40


def test_the_page_asks_nothing_of_other_hosts():
    text = (Path(control.__file__).parent / "control.html").read_text()
    assert "http://" not in text and "https://" not in text and "innerHTML" not in text
