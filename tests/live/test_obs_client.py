"""The client of OBS's WebSocket, and the link: answers, errors, and connections that break."""

from __future__ import annotations

import os
import threading
import time

import pytest
from obs_server import TEXT, Connection, ObsServer, response
from waiting import until

from mattecast.errors import UsageError
from mattecast.live.obs.client import Address, Client, ObsError, PasswordError
from mattecast.live.obs.link import Link
from mattecast.live.obs.media_source import MediaSource, scenes_with
from mattecast.live.obs.passwords import Password

SECRET = {"authentication": {"salt": "a salt", "challenge": "a challenge"}}


def connected(server: ObsServer, **options) -> Client:
    """A client of the server."""
    return Client(Address(port=server.port), options.pop("password", ""), **options)


# Identification.


def test_the_password_is_proved_and_never_sent():
    identities = []

    def talk(connection: Connection) -> None:
        identities.append(connection.identify(**SECRET))
        connection.receive()

    with ObsServer(talk) as server:
        client = connected(server, password="the password")
        client.close()
    (identity,) = identities
    # sha256 and base64 by other means: `printf ... | openssl dgst -sha256 -binary | base64`.
    assert identity["authentication"] == "Zd0ykklUviX3VS4ilxfdiiNVsPGHJI7O1rQqYjs+1ww="
    assert "the password" not in str(identity) and identity["rpcVersion"] == 1


def test_a_missing_password_is_reported_before_anything_is_sent():
    with (
        ObsServer(lambda connection: connection.identify(**SECRET)) as server,
        pytest.raises(PasswordError, match="none was given") as raised,
    ):
        connected(server)
    assert raised.value.fatal


@pytest.mark.parametrize(
    "code, kind, words",
    [
        (4009, PasswordError, "password is wrong"),
        (4011, ObsError, "has closed the connection"),
    ],
    ids=["wrong password", "session invalidated"],
)
def test_a_refused_identification_says_why(code, kind, words):
    def talk(connection: Connection) -> None:
        connection.upgrade()
        connection.send(0, rpcVersion=1, **SECRET)
        connection.receive()
        connection.hang_up(code)

    with ObsServer(talk) as server, pytest.raises(kind, match=words) as raised:
        connected(server, password="not it")
    assert "not it" not in str(raised.value)


# Requests.


def test_answers_belong_to_their_requests_in_whatever_order_they_come():
    def talk(connection: Connection) -> None:
        connection.identify()
        requests = [connection.receive(), connection.receive()]
        connection.event("SceneCreated", sceneName="between")
        for request in reversed(requests):
            connection.answer(request, name=request["d"]["requestType"])
        connection.receive()

    events, answers = [], {}
    with ObsServer(talk) as server:
        client = connected(server, on_event=lambda *event: events.append(event))

        def ask(name: str) -> None:
            answers[name] = client.request(name)["name"]

        threads = [threading.Thread(target=ask, args=(name,)) for name in ("First", "Second")]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(10)
        client.close()
    assert answers == {"First": "First", "Second": "Second"}
    assert events == [("SceneCreated", {"sceneName": "between"})]


def test_a_refused_request_carries_its_code():
    def talk(connection: Connection) -> None:
        connection.identify()
        request = connection.receive()["d"]
        status = {"result": False, "code": 600, "comment": "No source was found."}
        connection.send(7, **{**response(request), "requestStatus": status})
        connection.receive()

    with ObsServer(talk) as server:
        client = connected(server)
        with pytest.raises(ObsError, match=r"refused GetX: No source was found$") as raised:
            client.request("GetX")
        client.close()
    assert raised.value.code == 600 and not raised.value.fatal


@pytest.mark.parametrize("batch", [False, True])
def test_a_connection_that_closes_before_the_answer_ends_the_wait_at_once(batch):
    def talk(connection: Connection) -> None:
        connection.identify()
        connection.receive()
        connection.hang_up()

    with ObsServer(talk) as server:
        client = connected(server, timeout=30)
        began = time.monotonic()
        with pytest.raises(ObsError, match="has closed the connection"):
            client.batch([("GetX", {})]) if batch else client.request("GetX")
        assert time.monotonic() - began < 5 and client.dead.is_set()
        with pytest.raises(ObsError, match="has closed the connection"):
            client.request("GetX")
        client.close()


def test_a_request_without_an_answer_ends_too():
    def talk(connection: Connection) -> None:
        connection.identify()
        while True:
            connection.receive()

    with ObsServer(talk) as server:
        client = connected(server, timeout=0.3)
        with pytest.raises(ObsError, match=r"does not answer \(GetX\)"):
            client.request("GetX")
        client.close()
        client.close()
    assert not [one for one in threading.enumerate() if one.name == "obs receiver"]


@pytest.mark.parametrize("data", [b"no JSON", b"[]", b'{"op": 7}', b'{"op": 7, "d": {}}', b"\xff"])
def test_a_message_that_makes_no_sense_ends_the_connection(data):
    def talk(connection: Connection) -> None:
        connection.identify()
        connection.receive()
        connection.frame(TEXT, data)
        connection.receive()

    with ObsServer(talk) as server:
        client = connected(server, timeout=30)
        with pytest.raises(ObsError, match="has closed the connection"):
            client.request("GetX")
        client.close()


# Batches.


def scenes(connection: Connection) -> None:
    """An OBS whose source is in scene B by itself and in scene C in a group."""
    items = {
        "A": [{"sourceName": "other", "isGroup": None}],
        "B": [{"sourceName": "mattecast", "isGroup": None}],
        "C": [{"sourceName": "group", "isGroup": True}],
        "group": [{"sourceName": "mattecast", "isGroup": None}],
    }
    connection.identify()
    while True:
        message = connection.receive()
        if message["op"] == 6:
            connection.answer(message, scenes=[{"sceneName": name} for name in "ABC"])
            continue
        results = [
            response(one, sceneItems=items[one["requestData"]["sceneName"]])
            for one in message["d"]["requests"]
        ]
        connection.send(9, requestId=message["d"]["requestId"], results=results)


def test_scenes_are_looked_through_in_batches():
    with ObsServer(scenes) as server:
        client = connected(server)
        assert scenes_with(client, "mattecast") == ["B", "C"]
        assert client.batch([]) == []
        client.close()


# The link.


def answering(connection: Connection) -> None:
    """An OBS without sources that says yes to everything."""
    connection.identify()
    answer_all(connection)


def answer_all(connection: Connection) -> None:
    known = {
        "GetInputList": {"inputs": []},
        "GetSceneList": {"scenes": [{"sceneName": "Main"}]},
        "GetCurrentProgramScene": {"currentProgramSceneName": "Main"},
        "GetSceneItemList": {"sceneItems": []},
        "CreateInput": {"sceneItemId": 1},
        "CreateSceneItem": {"sceneItemId": 1},
        "GetVideoSettings": {"baseWidth": 64, "baseHeight": 48},
    }
    while True:
        request = connection.receive()
        connection.answer(request, **known.get(request["d"]["requestType"], {}))


def test_an_event_of_a_broken_connection_is_not_obeyed_after_the_next():
    """OBS says that the source is removed, and ends; the next OBS has a source again."""

    def removed_and_gone(connection: Connection) -> None:
        connection.identify()
        connection.receive()
        connection.event("InputRemoved", inputName="mattecast")
        connection.hang_up()

    with ObsServer(removed_and_gone, answering) as server:
        link = Link(Address(port=server.port), MediaSource(), lambda: "")
        link.start()
        try:
            until(lambda: link.connected, 10, "the second connection")
            time.sleep(0.5)  # longer than the link waits for an event
            assert link.connected and link.address() and "removed" not in link.state
        finally:
            link.close()


def test_a_source_that_is_removed_is_noticed():
    def removed_later(connection: Connection) -> None:
        connection.identify()
        connection.event("InputRemoved", inputName="another")
        connection.event("InputRemoved", inputName="mattecast")
        answer_all(connection)

    with ObsServer(removed_later) as server:
        link = Link(Address(port=server.port), MediaSource(), lambda: "")
        link.start()
        try:
            until(lambda: "was removed in OBS" in link.state, 10, "that the source is gone")
            assert link.address() is None and not link.connected
            assert link.place_here() == "Main" and link.connected
        finally:
            link.close()


# The password file.


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs a named pipe")
def test_a_password_file_is_read_once(tmp_path):
    """A pipe gives its text once, as `<(pass obs)` does; a file may be gone at a reconnection."""
    pipe, file = tmp_path / "pipe", tmp_path / "file"
    os.mkfifo(pipe)
    file.write_text("of the file\n")
    writer = threading.Thread(target=lambda: pipe.write_text("of the pipe\n"))
    writer.start()
    from_pipe, from_file = Password(Address(), pipe), Password(Address(), file)
    writer.join()
    file.unlink()
    pipe.unlink()
    for _ in range(3):
        assert (from_pipe(), from_file()) == ("of the pipe", "of the file")
    with pytest.raises(UsageError, match="no such file"):
        Password(Address(), file)
