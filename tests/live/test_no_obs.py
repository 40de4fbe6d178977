"""OBS that is not there or is something else, and where its address and password come from."""

from __future__ import annotations

import json
import sys
import time

import pytest
from commands import call
from obs_server import TEXT, Connection, ObsServer

from mattecast.errors import UsageError
from mattecast.live.obs import client
from mattecast.live.obs.client import Address, Client, ObsError, address
from mattecast.live.obs.media_source import listening_port
from mattecast.live.obs.passwords import Password


def test_no_obs_is_reported_at_once(closed_port):
    with pytest.raises(ObsError, match="does not run, or its WebSocket server is off"):
        Client(Address(port=closed_port))


def test_a_machine_nobody_knows_is_not_called_another_program():
    with pytest.raises(ObsError, match="no machine of that name") as met:
        Client(Address("no.such.machine.invalid"))
    assert not met.value.fatal  # the network may come yet


def test_the_doctor_says_what_to_do_first(closed_port):
    result = call("doctor", "--obs", f"127.0.0.1:{closed_port}")
    assert result.code == 1 and "Enable WebSocket server" in result.out


def frozen(connection: Connection) -> None:
    """Accept and say nothing."""
    connection.socket.recv(1 << 16)
    connection.socket.recv(1)


def frozen_later(connection: Connection) -> None:
    """Become a WebSocket and say nothing more."""
    connection.upgrade()
    connection.receive()
    connection.receive()


def protocol_4(connection: Connection) -> None:
    """Wait for a request and answer it, as obs-websocket 4 does."""
    connection.upgrade()
    connection.receive()
    version = {"message-id": "1", "status": "ok", "obs-websocket-version": "4.9.1"}
    connection.frame(TEXT, json.dumps(version).encode())


def mail(connection: Connection) -> None:
    """Be another program."""
    connection.socket.sendall(b"220 mail.example\r\n\r\n")


@pytest.mark.parametrize(
    "talk, words, fatal",
    [
        (frozen, "hangs or is still starting", False),
        (frozen_later, "hangs or is still starting", False),
        (protocol_4, "does not speak obs-websocket 5", True),
        (mail, "is not OBS's", True),
    ],
)
def test_what_is_not_obs_is_reported_before_the_patience_ends(talk, words, fatal, monkeypatch):
    assert client.CONNECT_TIMEOUT + client.OLD_TIMEOUT < 5
    monkeypatch.setattr(client, "CONNECT_TIMEOUT", 0.5)
    monkeypatch.setattr(client, "OLD_TIMEOUT", 0.5)
    with ObsServer(talk) as server:
        began = time.monotonic()
        with pytest.raises(ObsError, match=words) as raised:
            Client(Address(port=server.port), "secret")
        assert raised.value.fatal == fatal and "secret" not in str(raised.value)
        assert time.monotonic() - began < 4


@pytest.mark.parametrize(
    "text, host, port",
    [
        ("", "127.0.0.1", 4455),
        ("studio", "studio", 4455),
        (":4466", "127.0.0.1", 4466),
        ("studio:1", "studio", 1),
    ],
)
def test_addresses(text, host, port):
    assert (address(text).host, address(text).port) == (host, port)


@pytest.mark.parametrize("text", ["a:b", "a:0", "a:70000"])
def test_addresses_that_are_none(text):
    with pytest.raises(ValueError, match="HOST:PORT"):
        address(text)


@pytest.mark.parametrize(
    "settings, port",
    [
        ({"input": "tcp://127.0.0.1:9700?listen=1"}, 9700),
        ({"input": "tcp://127.0.0.1:9700"}, None),
        ({"input": "rtmp://a:1?listen=1"}, None),
        ({}, None),
        ({"input": "tcp://127.0.0.1:9700?listen=1", "is_local_file": True}, None),
    ],
)
def test_only_our_own_kind_of_source_is_adopted(settings, port):
    assert listening_port(settings) == port


def test_where_passwords_come_from(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("OBS_PASSWORD", raising=False)
    here = Address()
    assert Password(here, None)() == ""
    if sys.platform.startswith("linux"):
        own = tmp_path / "obs-studio"
        (own / "plugin_config" / "obs-websocket").mkdir(parents=True)
        (own / "global.ini").write_text(
            "[OBSWebSocket]\nServerEnabled=true\nServerPort=4455\nServerPassword=old\n"
        )
        assert Password(here, None)() == "old"
        (own / "plugin_config" / "obs-websocket" / "config.json").write_text(
            json.dumps(
                {
                    "server_enabled": True,
                    "server_port": 4455,
                    "auth_required": True,
                    "server_password": "new",
                }
            )
        )
        assert Password(here, None)() == "new" and Password(Address("far"), None)() == ""
    monkeypatch.setenv("OBS_PASSWORD", "environment")
    assert Password(here, None)() == "environment"
    (tmp_path / "secret").write_text("file\n")
    assert Password(here, tmp_path / "secret")() == "file"
    with pytest.raises(UsageError, match="no such file"):
        Password(here, tmp_path / "none")()


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="each system has its own places")
def test_obs_is_found_on_the_port_it_is_set_to(tmp_path, monkeypatch, closed_port):
    """What OBS before 5.5 has left behind counts no more."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("OBS_PASSWORD", raising=False)
    assert "nothing listens at 127.0.0.1:4455" in call("doctor", "--obs").out
    own = tmp_path / "obs-studio"
    (own / "plugin_config" / "obs-websocket").mkdir(parents=True)
    (own / "global.ini").write_text("[OBSWebSocket]\nServerEnabled=false\nServerPort=4455\n")
    output = call("doctor", "--obs").out
    assert "error    its WebSocket server is off" in output
    (own / "plugin_config" / "obs-websocket" / "config.json").write_text(
        json.dumps({"server_enabled": True, "server_port": closed_port})
    )
    output = call("doctor", "--obs").out
    assert f"nothing listens at 127.0.0.1:{closed_port}" in output and "server is off" not in output
    for text in ("127.0.0.1:4455", "studio"):
        assert f"nothing listens at {text}" in call("doctor", "--obs", text).out


def test_no_password_at_the_prompt_is_a_plain_refusal(monkeypatch):
    from mattecast.commands import live

    def refuse(*_: object) -> None:
        raise client.PasswordError("needed")

    def control_d(prompt: str) -> str:
        raise EOFError

    monkeypatch.setattr(client, "Client", refuse)
    monkeypatch.setattr("getpass.getpass", control_d)
    monkeypatch.setattr("sys.stdin", type("Terminal", (), {"isatty": lambda self: True})())
    monkeypatch.delenv("OBS_PASSWORD", raising=False)
    where = Address("far")
    with pytest.raises(UsageError, match="no password"):
        live._ask(where, Password(where, None))


def test_there_is_no_flag_for_a_password():
    assert "--obs-password " not in call("live", "--help").out.replace("\n", " ")
