"""Our source in OBS: a media source that listens for our pictures, and its place in the scenes."""

from __future__ import annotations

import socket
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mattecast.live.obs.client import Address, Client, ObsError

# Where pictures go when OBS runs on another machine, whose free ports are unknown here.
REMOTE_PORT = 9700
# OBS's name for the kind of a media source.
KIND = "ffmpeg_source"


@dataclass(frozen=True, slots=True)
class MediaSource:
    """The source that is wanted in OBS.

    scene: None for the current scene. linear: whether soft edges are blended in linear light;
    otherwise they are blended as sRGB codes, which needs the item's blending method 'SRGB Off'.
    format: the container that the pictures come in. yuv: whether they are coded as YUV.
    port: where the source listens; None for any free port.
    """

    name: str = "mattecast"
    scene: str | None = None
    linear: bool = True
    format: str = "nut"
    yuv: bool = False
    port: int | None = None


def settings_for(source: MediaSource, where: Address, port: int) -> dict[str, Any]:
    """OBS's settings of the source. It listens, never gives up, and shows pictures on arrival.

    The OBS script, which cannot import this module, has the same settings in its own
    `source_settings`; a test compares both.
    """
    listen = "127.0.0.1" if where.local else "0.0.0.0"
    return {
        "is_local_file": False,
        "input": f"tcp://{listen}:{port}?listen=1",
        "input_format": source.format,
        "buffering_mb": 0,
        "reconnect_delay_sec": 1,
        "restart_on_activate": False,
        "close_when_inactive": False,
        "clear_on_media_end": True,
        "hw_decode": False,
        "color_range": 0 if source.yuv else 2,
        "linear_alpha": source.linear,
        "ffmpeg_options": "probesize=32 analyzeduration=0 fflags=nobuffer"
        if source.format == "nut"
        else "fflags=nobuffer",
        # OBS keeps this setting for our script, which can set what the WebSocket cannot.
        "mattecast_blend": "linear" if source.linear else "srgb",
    }


def listening_port(settings: Mapping[str, Any]) -> int | None:
    """The port of a media source that listens as ours does; None for any other media source."""
    found = str(settings.get("input", ""))
    before, _, port = found.removesuffix("?listen=1").rpartition(":")
    ours = before.startswith("tcp://") and found.endswith("?listen=1") and port.isdecimal()
    return int(port) if ours and not settings.get("is_local_file") else None


def free_port() -> int:
    """A port of this machine that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def ensure_source(client: Client, source: MediaSource) -> tuple[int, str]:
    """Make the source, or take the one of that name; gives (its port, the scene it is in).

    A source that exists keeps its place, size, crop and filters. Raises ObsError, which is fatal
    where the name belongs to a source that is not ours.
    """
    inputs = {one["inputName"]: one for one in client.request("GetInputList")["inputs"]}
    existing = inputs.get(source.name)
    if existing is None:
        return _create(client, source)
    if existing["inputKind"] != KIND:
        raise ObsError(
            f"OBS has a source '{source.name}' already, a {existing['inputKind']}: "
            "--name gives ours another name",
            fatal=True,
        )
    settings = client.request("GetInputSettings", inputName=source.name)["inputSettings"]
    port = listening_port(settings)
    if port is None and (settings.get("input") or settings.get("local_file")):
        raise ObsError(
            f"OBS has a media source '{source.name}' already, which plays something "
            "else: --name gives ours another name",
            fatal=True,
        )
    port = source.port or port or (free_port() if client.where.local else REMOTE_PORT)
    wanted = settings_for(source, client.where, port)
    if any(settings.get(key) != value for key, value in wanted.items()):
        client.request("SetInputSettings", inputName=source.name, inputSettings=wanted)
    return port, _ensure_in_scene(client, source)


def _create(client: Client, source: MediaSource) -> tuple[int, str]:
    scene = source.scene or current_scene(client)
    port = source.port or (free_port() if client.where.local else REMOTE_PORT)
    made = client.request(
        "CreateInput",
        sceneName=scene,
        inputName=source.name,
        inputKind=KIND,
        inputSettings=settings_for(source, client.where, port),
    )
    fit_to_canvas(client, scene, made["sceneItemId"])
    return port, scene


def _ensure_in_scene(client: Client, source: MediaSource) -> str:
    """Add the source to the wanted scene, or where no scene has it; gives the scene it is in."""
    found = scenes_with(client, source.name)
    scene = source.scene or (found[0] if found else current_scene(client))
    if scene not in found:
        add_to_scene(client, scene, source.name)
    return scene


def scenes_with(client: Client, name: str) -> list[str]:
    """The scenes that hold the source, by itself or in a group."""
    scenes = [str(one["sceneName"]) for one in client.request("GetSceneList")["scenes"]]
    lists = client.batch([("GetSceneItemList", {"sceneName": scene}) for scene in scenes])
    return [
        scene
        for scene, one in zip(scenes, lists, strict=True)
        if _holds(client, one["sceneItems"], name)
    ]


def _holds(client: Client, items: list[Mapping[str, Any]], name: str) -> bool:
    """Whether items of a scene, or of its groups, show the source."""
    if any(item["sourceName"] == name for item in items):
        return True
    groups = [item["sourceName"] for item in items if item.get("isGroup")]
    inside = client.batch([("GetGroupSceneItemList", {"sceneName": group}) for group in groups])
    return any(item["sourceName"] == name for one in inside for item in one["sceneItems"])


def add_to_scene(client: Client, scene: str, name: str) -> None:
    """Add the source to a scene, unless the scene holds it already."""
    items = client.request("GetSceneItemList", sceneName=scene)["sceneItems"]
    if not _holds(client, items, name):
        made = client.request("CreateSceneItem", sceneName=scene, sourceName=name)
        fit_to_canvas(client, scene, made["sceneItemId"])


def current_scene(client: Client) -> str:
    """The scene that is on air."""
    return str(client.request("GetCurrentProgramScene")["currentProgramSceneName"])


def fit_to_canvas(client: Client, scene: str, item: int) -> None:
    """Scale a scene's item to the canvas, and keep its aspect ratio."""
    video = client.request("GetVideoSettings")
    client.request(
        "SetSceneItemTransform",
        sceneName=scene,
        sceneItemId=item,
        sceneItemTransform={
            "positionX": 0.0,
            "positionY": 0.0,
            "alignment": 5,
            "boundsType": "OBS_BOUNDS_SCALE_INNER",
            "boundsAlignment": 0,
            "boundsWidth": float(video["baseWidth"]),
            "boundsHeight": float(video["baseHeight"]),
        },
    )
