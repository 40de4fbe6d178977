"""Files of timelines: their kinds by suffix, read and put in their place whole."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from mattecast.errors import MediaError, OutputError, UsageError
from mattecast.media.destinations import hidden_path, output_errors
from mattecast.timelines.document import Document
from mattecast.timelines.fcpxml import FcpXml
from mattecast.timelines.otio import Otio
from mattecast.timelines.timeline import Timeline
from mattecast.timelines.xmeml import Xmeml

BUNDLE = ".fcpxmld"
_KNOWN = ".otio, .fcpxml, .fcpxmld, or the .xml of Premiere and Final Cut Pro 7"


def read(path: Path) -> Timeline:
    """A timeline. Raises UsageError for a file of another kind, MediaError for one that cannot be
    read."""
    if not path.exists():
        raise MediaError(f"{path}: no such file")
    suffix = path.suffix.lower()
    if suffix == ".otio":
        return Otio(path)
    if suffix in (".fcpxml", BUNDLE):
        return FcpXml(path)
    if suffix != ".xml":
        raise UsageError(f"{path}: is no timeline that is known: {_KNOWN}")
    return FcpXml(path) if Document(path).root.tag == "fcpxml" else Xmeml(path)


def base_folder(path: Path) -> Path:
    """The folder that relative names in a timeline are looked up from."""
    return path if path.suffix.lower() == BUNDLE else path.parent


def check_output(project: Path, output: Path, *, relative: bool, overwrite: bool) -> None:
    """Raise where a timeline cannot be written, before anything is matted.

    relative: whether the timeline names files by relative paths.
    """
    same = output.suffix.lower() == project.suffix.lower()
    if not same and {output.suffix.lower(), project.suffix.lower()} != {".fcpxml", BUNDLE}:
        raise UsageError(f"{output}: name it *{project.suffix}, as the timeline that is read")
    if output.exists() and output.samefile(project):
        raise UsageError(f"{output}: is the timeline that is read; name another")
    if output.exists() and not overwrite:
        raise OutputError(f"{output}: exists already; --overwrite replaces it")
    if output.is_dir() and output.suffix.lower() != BUNDLE:
        raise OutputError(f"{output}: is a folder; name a file")
    folder = output.resolve().parent
    if not folder.is_dir():
        raise OutputError(f"{folder}: no such folder; make it first")
    if not os.access(folder, os.W_OK):
        raise OutputError(f"{folder}: no permission to write there")
    if relative and not (same and folder == project.resolve().parent):
        raise UsageError(
            f"{output}: {project.name} names files by relative paths; write into the same folder"
        )
    _try(output)


def _try(output: Path) -> None:
    """Raise OutputError where no file can be made beside an output, whatever the rights say."""
    hidden = hidden_path(output)
    with output_errors(output):
        hidden.touch()
        hidden.unlink()


def write(output: Path, data: bytes, project: Path) -> None:
    """Put a timeline in its place: whole, or not at all. project: the one that was read, whose
    bundle is copied. Raises OutputError."""
    hidden = hidden_path(output)
    with output_errors(output):
        try:
            if output.suffix.lower() == BUNDLE:
                _write_bundle(hidden, data, project)
                if output.exists():
                    shutil.rmtree(output)
            else:
                hidden.write_bytes(data)
            os.replace(hidden, output)
        finally:
            _remove(hidden)


def _write_bundle(folder: Path, data: bytes, project: Path) -> None:
    if project.is_dir():
        shutil.copytree(project, folder)
    else:
        folder.mkdir()
    (folder / "Info.fcpxml").write_bytes(data)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
