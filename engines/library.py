"""The models of one user: the embedded one, and a folder of ONNX files that can grow and shrink."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from mattecast.engines.amendments import read_amendments
from mattecast.engines.catalogue import CATALOGUE, WellKnown, well_known
from mattecast.engines.download import Progress, download, part_of
from mattecast.engines.errors import EngineError
from mattecast.engines.onnx_ports import read_ports, recognise
from mattecast.engines.spec import ModelSpec
from mattecast.engines.store import sha256_of

# Files that may lie beside a network's file: its amendments, and the same network in int8.
_COMPANIONS = (".json", ".int8.onnx")


@dataclass(frozen=True, slots=True)
class Pulled:
    """A model that was fetched. verified: whether its distributor states the hash it has."""

    spec: ModelSpec
    row: WellKnown
    sha256: str
    verified: bool


def embedded(name: str = "default") -> Path:
    """The file of a network that ships with mattecast."""
    return Path(__file__).parent / "weights" / f"{name}.onnx"


def models_folder() -> Path:
    """The user's folder of added and fetched models: MATTECAST_MODELS, or the system's default."""
    if named := os.environ.get("MATTECAST_MODELS"):
        return Path(named)
    import platformdirs

    return Path(platformdirs.user_data_path("mattecast")) / "models"


def find(name: str) -> ModelSpec:
    """The spec of 'default' (the embedded network), of a model in the folder, or of an ONNX file.

    name: 'default', a name of `mattecast models list`, or a path. Raises EngineError when there is
    no such model, or when it is not a network that mattecast can run.
    """
    if name == "default":
        # Most video is wide: at 480 its network and enlargement together take less than a quarter
        # of RVM's time, at 1080p and at 720p.
        return ModelSpec(name, embedded(), wide_side=480, fine_side=640)
    stored = models_folder() / f"{name}.onnx"
    if os.sep not in name and stored.is_file():
        return spec_of_file(stored, CATALOGUE[name].amendments if name in CATALOGUE else {})
    if Path(name).is_file():
        return spec_of_file(Path(name))
    if name in CATALOGUE:
        raise EngineError(f"model '{name}' is not here yet: `mattecast models pull {name}`")
    raise EngineError(
        f"model '{name}': no file {name}; use 'default', the path of an ONNX file, or a name "
        "of `mattecast models list`"
    )


def spec_of_file(path: Path, amendments: Mapping[str, object] | None = None) -> ModelSpec:
    """The spec of an ONNX file, from its ports and from the JSON file beside it, if any.

    model.json beside model.onnx may set mean, deviation, meaning, long_side and multiple, which no
    ONNX file states. amendments: the same fields, used where there is no JSON file. Raises
    EngineError for a network that fits no family, and for a JSON file with impossible values.
    """
    spec = recognise(path, read_ports(path))
    side_file = path.with_suffix(".json")
    fields = read_amendments(side_file) if side_file.is_file() else amendments or {}
    changes: dict[str, Any] = {
        key: tuple(value) if isinstance(value, list) else value for key, value in fields.items()
    }
    return replace(spec, **changes)


def model_lines() -> Iterator[str]:
    """One line for each model that is here, then for each of the catalogue that can be fetched."""
    yield f"default  embedded, {embedded().stat().st_size / 1e6:.1f} MB"
    files = sorted(models_folder().glob("*.onnx")) if models_folder().is_dir() else []
    here = [path for path in files if not path.name.endswith(".int8.onnx")]
    for path in here:
        yield f"{path.stem}  added, {path.stat().st_size / 1e6:.1f} MB, {path}"
    for row in CATALOGUE.values():
        if row.name not in {path.stem for path in here}:
            size = f"about {row.size / 1e6:.0f} MB" if row.size else "by hand"
            yield f"{row.name}  not here ({size}), {row.licence}: {row.about}"


def info_lines(name: str) -> Iterator[str]:
    """What is known of one model: of its file, if it is here, and of its catalogue row."""
    row = CATALOGUE.get(name)
    if row is None or _place(name).is_file():
        spec = find(name)
        yield f"{spec.name}: {spec.path}"
        wide = f" ({spec.wide_side} of wide pictures)" if spec.wide_side else ""
        fine = f", {spec.fine_side} at the fine scale of small ones" if spec.fine_side else ""
        yield (
            f"  family: {spec.family}; long side {spec.long_side}{wide}{fine}, "
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
    """Copy an ONNX file and its companions into the folder.

    name: the model's name (default: the file's). Raises EngineError for a network that mattecast
    cannot run, and where the folder cannot be written.
    """
    if not path.is_file():
        raise EngineError(f"{path}: no such file")
    spec_of_file(path)
    target = _place(name or path.stem)
    part = target.with_suffix(".part")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, part)
        _check_self_contained(part, path)
        for suffix in _COMPANIONS:
            if path.with_suffix(suffix).is_file():
                shutil.copyfile(path.with_suffix(suffix), target.with_suffix(suffix))
            else:  # it belongs to an older network of this name
                target.with_suffix(suffix).unlink(missing_ok=True)
        os.replace(part, target)
    except OSError as error:
        raise EngineError(f"{target}: cannot be written ({error.strerror})") from error
    finally:
        with suppress(OSError):
            part.unlink(missing_ok=True)
    return find(target.stem)


def _check_self_contained(copy: Path, original: Path) -> None:
    """Raise EngineError for a copy that cannot be read without the original's file of weights."""
    try:
        read_ports(copy)
    except EngineError as error:
        raise EngineError(
            f"{original}: keeps its weights in a second file; save it as one file, or "
            "run it by its path"
        ) from error


def pull(name: str, progress: Progress | None = None) -> Pulled:
    """Fetch a model of the catalogue into the folder, and check that it can run.

    A file that already lies in the folder is not fetched again, but its hash is checked as well.
    Raises EngineError when the download fails, the hash is wrong, or the network cannot run.
    """
    row, target = well_known(name), _place(name)
    if target.is_file():
        return Pulled(find(name), row, _checked_hash(row, target), verified=row.sha256 is not None)
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


def _checked_hash(row: WellKnown, path: Path) -> str:
    found = sha256_of(path)
    if row.sha256 not in (None, found):
        raise EngineError(
            f"{path}: its SHA-256 is {found}, expected {row.sha256}; "
            f"remove it with `mattecast models remove {row.name}`"
        )
    return found


def remove(name: str) -> Path:
    """Delete an added or fetched model and return its path.

    Raises EngineError when there is none, and for the embedded model.
    """
    path = _place(name)
    files = [path, part_of(path), *(path.with_suffix(suffix) for suffix in _COMPANIONS)]
    if not any(file.is_file() for file in files):
        raise EngineError(f"model '{name}': not in {models_folder()}")
    try:
        for file in files:
            file.unlink(missing_ok=True)
    except OSError as error:
        raise EngineError(f"{path}: cannot be removed ({error.strerror})") from error
    return path


def _place(name: str) -> Path:
    """The file of a model of this name in the folder; raises EngineError for an unusable name."""
    if not name or name in ("default", ".", "..") or set(name) & set("/\\:"):
        raise EngineError(f"model name '{name}': use letters without / \\ or :, and not 'default'")
    return models_folder() / f"{name}.onnx"
