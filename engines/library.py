"""The models of one user: a folder of ONNX files, each with the JSON file that amends it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from mattecast.engines.backends.openvino import read_ports
from mattecast.engines.catalogue import CATALOGUE, WellKnown, well_known
from mattecast.engines.download import Progress, download, part_of
from mattecast.engines.errors import EngineError
from mattecast.engines.spec import ModelSpec, described, embedded, find, models_folder
from mattecast.engines.store import sha256_of

# What may stand beside a network's file: its amendments, and the same network in int8.
_BESIDE = (".json", ".int8.onnx")


@dataclass(frozen=True, slots=True)
class Pulled:
    """A model that was fetched. verified: its hash is the one its distributor states."""

    spec: ModelSpec
    row: WellKnown
    sha256: str
    verified: bool


def listed() -> Iterator[str]:
    """A line for each model that is here, then for each that can be fetched."""
    yield f"default  embedded, {embedded().stat().st_size / 1e6:.1f} MB"
    found = sorted(models_folder().glob("*.onnx")) if models_folder().is_dir() else []
    here = [path for path in found if not path.name.endswith(".int8.onnx")]
    for path in here:
        yield f"{path.stem}  added, {path.stat().st_size / 1e6:.1f} MB, {path}"
    for row in CATALOGUE.values():
        if row.name not in {path.stem for path in here}:
            size = f"about {row.size / 1e6:.0f} MB" if row.size else "by hand"
            yield f"{row.name}  not here ({size}), {row.licence}: {row.about}"


def told(name: str) -> Iterator[str]:
    """What is known of a model: of a file that is here, or of a row of the table."""
    row = CATALOGUE.get(name)
    if row is None or _stored(name).is_file():
        spec = find(name)
        yield f"{spec.name}: {spec.path}"
        wide = f" ({spec.wide_side} of wide pictures)" if spec.wide_side else ""
        closer = f", {spec.closer_side} of a closer look" if spec.closer_side else ""
        yield (
            f"  family: {spec.family}; long side {spec.long_side}{wide}{closer}, "
            f"multiples of {spec.multiple}"
        )
        yield f"  size: {spec.path.stat().st_size / 1e6:.1f} MB"
        yield f"  sha256: {sha256_of(spec.path)}"
    if row is not None:
        yield f"{row.name}: {row.about}"
        yield f"  licence: {row.licence}, {row.page}"
        yield f"  file: {row.address or 'linked from that page'}"
        if row.size:
            yield f"  its size: about {row.size / 1e6:.0f} MB"
        yield f"  sha256 stated by its distributor: {row.sha256 or 'none (unverified)'}"


def add(path: Path, name: str | None = None) -> ModelSpec:
    """Copy an ONNX file, and what belongs to it, into the folder; refuse what cannot run."""
    if not path.is_file():
        raise EngineError(f"{path}: no such file")
    described(path)
    target = _stored(name or path.stem)
    part = target.with_suffix(".part")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, part)
        _stands_alone(part, path)
        for suffix in _BESIDE:
            if path.with_suffix(suffix).is_file():
                shutil.copyfile(path.with_suffix(suffix), target.with_suffix(suffix))
            else:  # of another network of this name
                target.with_suffix(suffix).unlink(missing_ok=True)
        os.replace(part, target)
    except OSError as error:
        raise EngineError(f"{target}: cannot be written ({error.strerror})") from error
    finally:
        with suppress(OSError):
            part.unlink(missing_ok=True)
    return find(target.stem)


def _stands_alone(copy: Path, original: Path) -> None:
    """Raise EngineError for a network that only runs where it was, beside a file of weights."""
    try:
        read_ports(copy)
    except EngineError as error:
        raise EngineError(
            f"{original}: keeps its weights in a file of their own; save it as one "
            "file, or run it by its path"
        ) from error


def pull(name: str, progress: Progress | None = None) -> Pulled:
    """Fetch a model of the table into the folder, check it, and see that it can run.

    A file that somebody has put there is not fetched again, but checked alike.
    """
    row, target = well_known(name), _stored(name)
    if target.is_file():
        return Pulled(find(name), row, _checked(row, target), verified=row.sha256 is not None)
    if row.address is None:
        raise EngineError(
            f"{name}: its authors offer no direct download; fetch the ONNX file from "
            f"{row.page} and run `mattecast models add FILE`"
        )
    found = download(row.address, target, sha256=row.sha256, progress=progress)
    try:
        return Pulled(find(name), row, found, verified=row.sha256 is not None)
    except EngineError:
        remove(name)
        raise


def _checked(row: WellKnown, path: Path) -> str:
    found = sha256_of(path)
    if row.sha256 not in (None, found):
        raise EngineError(
            f"{path}: its SHA-256 is {found}, expected {row.sha256}; "
            f"`mattecast models remove {row.name}` makes room"
        )
    return found


def remove(name: str) -> Path:
    """Delete an added or fetched model; the embedded one stays."""
    path = _stored(name)
    files = [path, part_of(path), *(path.with_suffix(suffix) for suffix in _BESIDE)]
    if not any(file.is_file() for file in files):
        raise EngineError(f"model '{name}': not in {models_folder()}")
    try:
        for file in files:
            file.unlink(missing_ok=True)
    except OSError as error:
        raise EngineError(f"{path}: cannot be removed ({error.strerror})") from error
    return path


def _stored(name: str) -> Path:
    if not name or name in ("default", ".", "..") or set(name) & set("/\\:"):
        raise EngineError(f"model name '{name}': a plain name is needed, and not 'default'")
    return models_folder() / f"{name}.onnx"
