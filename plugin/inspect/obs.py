"""`mattecast doctor --obs`: checks OBS, its WebSocket server and our source, step by step."""

from __future__ import annotations

import shutil
import socket
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

from mattecast.inspect import finding
from mattecast.inspect.finding import Finding, Report
from mattecast.live.obs.client import Address, Client, ObsError, PasswordError
from mattecast.live.obs.media_source import KIND, current_scene, listening_port, scenes_with
from mattecast.live.obs.passwords import ServerSettings, server_settings

# The oldest versions of OBS and obs-websocket with protocol 5.
_LEAST_OBS, _LEAST_SOCKET = (28, 0), (5, 0)
# Every finding here is a whole sentence.
ok = partial(finding.ok, "")
note = partial(finding.note, "")
error = partial(finding.error, "")


def examine_obs(where: Address, password: Callable[[], str], name: str = "mattecast") -> Report:
    """Everything between OBS and us, in the order of the steps; a check that depends on a
    failed one is left out.

    where: address of OBS's WebSocket server. name: that of our source in OBS.
    """
    return Report.of(_findings(where, password, name))


def _findings(where: Address, password: Callable[[], str], name: str) -> Iterator[Finding]:
    answers = _answers(where)
    runs = where.local and _runs()
    if where.local:
        yield from _installed(where, answers, runs)
    if not answers:
        yield error(f"nothing listens at {where}: {_advice(where, runs)}")
        return
    yield ok(f"something listens at {where}")
    try:
        client = Client(where, password())
    except PasswordError as failure:
        yield ok("it is OBS's WebSocket server, of protocol 5")
        yield error(str(failure))
        return
    except ObsError as failure:
        yield error(str(failure))
        return
    try:
        yield ok("it takes the password" if password() else "it asks for no password")
        yield from _versions(client)
        yield from _source(client, name)
    except ObsError as failure:
        yield error(str(failure))
    finally:
        client.close()


def _advice(where: Address, runs: bool) -> str:
    enable = "Tools, WebSocket Server Settings, Enable WebSocket server"
    if runs:
        return f"OBS runs, so in it {enable}, and look at the port there"
    return f"start OBS{'' if where.local else ' there'}, and in it {enable}"


def _runs() -> bool:
    """Whether an OBS runs on this machine, as far as that is known; on Linux only."""
    for entry in Path("/proc").glob("[0-9]*/comm"):
        with suppress(OSError):  # the process has ended meanwhile
            if entry.read_text().strip() == "obs":
                return True
    return False


def _installed(where: Address, answers: bool, runs: bool) -> Iterator[Finding]:
    if program := shutil.which("obs") or shutil.which("obs64"):
        yield ok(f"OBS is installed: {program}")
    if runs:
        yield ok("OBS runs")
    settings = server_settings()
    for one in settings:
        yield _server(one, where, answers)
    if not settings:
        yield note("OBS has no settings of this user yet: it was never started here")


def _server(settings: ServerSettings, where: Address, answers: bool) -> Finding:
    file = settings.file
    if not settings.enabled:
        # Another OBS of this user may answer.
        level = note if answers else error
        return level(
            f"its WebSocket server is off ({file}): in OBS, Tools, WebSocket Server "
            "Settings, Enable WebSocket server"
        )
    if settings.port != where.port:
        return note(f"its WebSocket server is on port {settings.port}, not {where.port} ({file})")
    secured = "with a password" if settings.password else "without a password"
    return ok(f"its WebSocket server is on, port {settings.port}, {secured} ({file})")


def _answers(where: Address) -> bool:
    try:
        socket.create_connection((where.host, where.port), 2).close()
    except OSError:
        return False
    return True


def _versions(client: Client) -> Iterator[Finding]:
    versions = client.request("GetVersion")
    for program, key, least in (
        ("OBS", "obsVersion", _LEAST_OBS),
        ("obs-websocket", "obsWebSocketVersion", _LEAST_SOCKET),
    ):
        new_enough = _numbers(versions[key]) >= least
        wanted = ".".join(str(number) for number in least)
        if new_enough:
            yield ok(f"{program} {versions[key]}")
        else:
            yield error(f"{program} {versions[key]}: {wanted} or newer is needed")
    yield ok(f"it runs on {versions.get('platformDescription', 'an unknown system')}")


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("-")[0].split(".") if part.isdigit())


def _source(client: Client, name: str) -> Iterator[Finding]:
    inputs = {one["inputName"]: one for one in client.request("GetInputList")["inputs"]}
    if name not in inputs:
        yield note(f"no source '{name}' yet: `mattecast live` makes it")
        return
    if inputs[name]["inputKind"] != KIND:
        yield error(
            f"source '{name}' is a {inputs[name]['inputKind']}, not a media source: "
            "rename it, or give ours another --name"
        )
        return
    settings = client.request("GetInputSettings", inputName=name)["inputSettings"]
    port = listening_port(settings)
    if port is None:
        yield error(f"media source '{name}' plays something else: rename it, or use --name")
        return
    yield ok(f"source '{name}' is there")
    yield from _listening(client, name, port)
    yield from _alpha(settings)
    yield from _scenes(client, name)


def _listening(client: Client, name: str, port: int) -> Iterator[Finding]:
    state = client.request("GetMediaInputStatus", inputName=name)["mediaState"]
    if state == "OBS_MEDIA_STATE_PLAYING":
        yield ok(f"its port is {port}; it plays or listens ({state})")
    else:
        yield note(f"its port is {port}; nothing is sent to it now ({state})")


def _alpha(settings: dict[str, Any]) -> Iterator[Finding]:
    srgb = settings.get("mattecast_blend") == "srgb"
    if settings.get("linear_alpha"):
        yield ok("soft edges blend in linear light (linear_alpha is on)")
    elif srgb:
        yield note(
            "soft edges blend as sRGB codes, if the item's blending method is 'SRGB "
            "Off': our OBS script sets it"
        )
    else:
        yield error(
            "linear_alpha is off: soft edges get dark fringes; start `mattecast live` "
            "again, or tick 'Apply alpha in linear space'"
        )
    for key, value, what in (
        ("restart_on_activate", False, "scene switches will restart it"),
        ("close_when_inactive", False, "scene switches will close it"),
    ):
        if settings.get(key, not value) != value:
            yield error(f"{key} is on: {what}; start `mattecast live` again")


def _scenes(client: Client, name: str) -> Iterator[Finding]:
    on_air = current_scene(client)
    scenes = scenes_with(client, name)
    if not scenes:
        yield error(f"no scene shows it: `mattecast live --scene {on_air}` adds it")
    elif on_air not in scenes:
        yield note(f"the scene on air, '{on_air}', does not show it; {', '.join(scenes)} does")
    else:
        yield from _visible(client, on_air, name)


def _visible(client: Client, scene: str, name: str) -> Iterator[Finding]:
    for item in client.request("GetSceneItemList", sceneName=scene)["sceneItems"]:
        if item["sourceName"] == name and not item["sceneItemEnabled"]:
            yield error(f"it is hidden in scene '{scene}': click the eye beside it")
            return
    yield ok(f"the scene on air, '{scene}', shows it")
