"""The commands `models` and `engines`: what runs here, what can be fetched, what was built."""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from mattecast.commands.options import add_options
from mattecast.errors import UsageError

# A command: its options to the lines it prints.
Lines = Callable[[argparse.Namespace], Iterator[str]]


def add_models(parser: argparse.ArgumentParser) -> None:
    """`mattecast models ...`"""
    actions = parser.add_subparsers(title="actions", required=True, metavar="ACTION")
    _action(actions, "list", "Models that are here, and those that can be fetched.", _list)
    info = _action(actions, "info", "Family, size, licence and SHA-256 of one model.", _info)
    info.add_argument("name", help="a name of the list, or the path of an ONNX file")
    add = _action(actions, "add", "Copy an ONNX file into the models folder.", _add)
    add.add_argument("path", type=Path)
    add.add_argument("--name", help="name of the model here (default: the file's)")
    pull = _action(actions, "pull", "Fetch a well-known model from its authors.", _pull)
    pull.add_argument("name")
    remove = _action(actions, "remove", "Delete an added or fetched model.", _remove)
    remove.add_argument("name")


def add_engines(parser: argparse.ArgumentParser) -> None:
    """`mattecast engines ...`"""
    actions = parser.add_subparsers(title="actions", required=True, metavar="ACTION")
    _action(actions, "list", "Built engines, last used first, and the folder.", _built)
    build = _action(actions, "build", "Build an engine now, for a quick first run.", _build)
    build.add_argument(
        "--for",
        dest="picture",
        default="1920x1080",
        metavar="WxH",
        help="size of the clips (default: 1920x1080)",
    )
    add_options(build, names=("model", "backend", "device", "precision", "network_size"))
    _action(actions, "verify", "Check every built engine; remove the damaged.", _verify)
    prune = _action(actions, "prune", "Remove engines, least recently used first.", _prune)
    prune.add_argument(
        "--limit",
        type=float,
        default=0.0,
        metavar="MB",
        help="keep this many megabytes (default: 0, all go)",
    )


def announce_builds() -> None:
    """Show what the engines have to say: building takes its time, and a fallback matters."""
    log = logging.getLogger("mattecast")
    if not log.handlers:
        handler = logging.StreamHandler()
        handler.setFormatter(logging.Formatter("mattecast: %(message)s"))
        log.addHandler(handler)
        log.setLevel(logging.INFO if sys.stderr.isatty() else logging.WARNING)


def _action(
    actions: argparse._SubParsersAction[argparse.ArgumentParser],
    name: str,
    about: str,
    lines: Lines,
) -> argparse.ArgumentParser:
    parser = actions.add_parser(name, help=about, description=about)
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    parser.set_defaults(lines=lines)
    return parser


def _list(options: argparse.Namespace) -> Iterator[str]:
    from mattecast.engines import library

    return library.model_lines()


def _info(options: argparse.Namespace) -> Iterator[str]:
    from mattecast.engines import library

    return library.info_lines(options.name)


def _add(options: argparse.Namespace) -> Iterator[str]:
    from mattecast.engines import library

    spec = library.add(options.path, options.name)
    yield f"{spec.path}: a network of the {spec.family} family; --model {spec.path.stem} runs it"


def _pull(options: argparse.Namespace) -> Iterator[str]:
    from mattecast.engines import library
    from mattecast.engines.catalogue import well_known

    row = well_known(options.name)
    print(f"mattecast: {row.name} is under {row.licence}, see {row.page}", file=sys.stderr)
    pulled = library.pull(options.name, _bar() if sys.stderr.isatty() else None)
    yield f"{pulled.spec.path}: --model {row.name} runs it"
    status = "as its distributor states" if pulled.verified else "unverified: none is stated"
    yield f"  sha256: {pulled.sha256} ({status})"
    yield f"  licence: {row.licence}; it binds whoever uses the model"


def _bar() -> Callable[[int, int | None], None]:
    from tqdm import tqdm

    bar = tqdm(unit="B", unit_scale=True, file=sys.stderr, leave=False)

    def show(done: int, total: int | None) -> None:
        bar.total = total
        bar.update(done - bar.n)

    return show


def _remove(options: argparse.Namespace) -> Iterator[str]:
    from mattecast.engines import library

    yield f"{library.remove(options.name)}: removed"


def _built(options: argparse.Namespace) -> Iterator[str]:
    from mattecast.engines.store import Store

    store = Store()
    yield from map(str, store.entries())
    yield f"in {store.folder}"


def _build(options: argparse.Namespace) -> Iterator[str]:
    from mattecast import engines
    from mattecast.settings import Settings, parse_size

    Settings(network_size=options.network_size)  # refuses what `mattecast matte` does
    if "x" not in options.picture.lower():
        raise UsageError(f"--for '{options.picture}': expected WIDTHxHEIGHT")
    announce_builds()
    spec = engines.find(options.model)
    asked = (*parse_size(options.picture, 16, 9), options.network_size)
    sizes = engines.network_size(spec, *asked), engines.fine_size(spec, *asked)
    for size in filter(None, sizes):
        engine = engines.load(
            spec, size, backend=options.backend, precision=options.precision, device=options.device
        )
        engine.close()
        yield str(engine.info)


def _verify(options: argparse.Namespace) -> Iterator[str]:
    from mattecast.engines.store import Store

    store = Store()
    damaged = store.verify()
    yield from (f"damaged and removed: {line}" for line in damaged)
    yield f"{len(store.entries())} engines are as they were written"


def _prune(options: argparse.Namespace) -> Iterator[str]:
    from mattecast.engines.store import Store

    if not 0 <= options.limit < 1e9:
        raise UsageError(f"--limit {options.limit:g}: expected megabytes, 0 or more")
    removed = Store().prune(int(options.limit * 1e6))
    yield from (f"removed: {entry}" for entry in removed)
    yield f"{len(removed)} engines removed"
