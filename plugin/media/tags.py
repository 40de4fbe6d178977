"""Tags: what a file says about its content, such as title, camera, date and place."""

from __future__ import annotations

from collections.abc import Mapping

# Tags that describe the old file, not its content.
_TECHNICAL = {
    "major_brand",
    "minor_version",
    "compatible_brands",
    "encoder",
    "timecode",
    "handler_name",
    "vendor_id",
    "duration",
    # Of MXF.
    "operational_pattern_ul",
    "uid",
    "generation_uid",
    "product_uid",
    "material_package_umid",
    "file_package_umid",
    "toolkit_version_num",
}
# Tags that QuickTime and MP4 have a place of their own for. The others need `keys` of QuickTime's
# kind (`mdta`), as phones write them.
_PLAIN = {
    "title",
    "artist",
    "album",
    "date",
    "comment",
    "genre",
    "copyright",
    "keywords",
    "creation_time",
    "location",
}
_APPLE = "com.apple.quicktime."


def kept(tags: Mapping[str, str], *, place: bool) -> dict[str, str]:
    """The tags of a source that go into an output. place: whether those of the place do."""
    named = {_spelt(key): value for key, value in tags.items()}
    return {
        key: value
        for key, value in named.items()
        if key.lower() not in _TECHNICAL
        # libavformat gives what has a language twice: as 'location' and 'location-eng'.
        and named.get(key.rpartition("-")[0]) != value
        and (place or not _is_place(key))
    }


def place_in(tags: Mapping[str, str]) -> str | None:
    """Where a clip was filmed, as its tags say: mostly latitude and longitude as in ISO 6709."""
    return next((value for key, value in tags.items() if _is_place(key)), None)


def need_keys(tags: Mapping[str, str]) -> bool:
    """Whether QuickTime and MP4 hold some of these tags only under keys."""
    return any(key.lower() not in _PLAIN for key in tags)


def named_briefly(tags: Mapping[str, str]) -> str:
    """The names of tags, for people: 'make, model, location'."""
    words = [_brief(key) for key in tags]
    return ", ".join(dict.fromkeys(words))


def _brief(key: str) -> str:
    return key.removesuffix(".ISO6709").rpartition(".")[2]


def _spelt(key: str) -> str:
    """A key as phones spell it. Matroska holds capitals only."""
    if not key.isupper():
        return key
    key = key.lower()
    return key.replace("iso6709", "ISO6709") if key.startswith(_APPLE) else key


def _is_place(key: str) -> bool:
    return "location" in key.lower() or "gps" in key.lower()
