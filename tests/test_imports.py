"""Which module imports which: one way between the three folders, and never in a circle."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
# The folders and what they install as; each may import only those that stand behind it.
LAYERS = {"plugin": "mattecast", "engines": "mattecast.engines", "filters": "mattecast.filters"}


def modules(folder: str) -> dict[str, Path]:
    """Every module of a folder by the name it is imported by; hosts/ holds scripts of hosts."""
    found = {}
    for path in sorted((ROOT / folder).rglob("*.py")):
        parts = path.relative_to(ROOT / folder).with_suffix("").parts
        if parts[0] != "hosts":
            name = ".".join((LAYERS[folder], *parts))
            found[name.removesuffix(".__init__")] = path
    return found


MODULES = {name: path for folder in LAYERS for name, path in modules(folder).items()}


def statements(tree: ast.Module) -> Iterator[ast.stmt]:
    """All that runs, in functions too; what stands under `if TYPE_CHECKING` does not run."""
    pending: list[ast.AST] = [tree]
    while pending:
        node = pending.pop()
        if isinstance(node, ast.stmt):
            yield node
        children = list(ast.iter_child_nodes(node))
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            children = list(node.orelse)
        pending.extend(children)


@cache
def imports(name: str) -> set[str]:
    """The modules of mattecast that a module imports at run time, at its top or in a function."""
    found = set()
    for node in statements(ast.parse(MODULES[name].read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                submodule = f"{node.module}.{alias.name}"
                found.add(submodule if submodule in MODULES else node.module)
    return {one for one in found if one in MODULES and one != name}


def layer(name: str) -> str:
    """The folder that a module lies in."""
    return MODULES[name].relative_to(ROOT).parts[0]


def cycle(graph: dict[str, set[str]]) -> list[str]:
    """Modules that import each other in a circle, the first one again at the end; or nothing."""
    finished: set[str] = set()

    def search(name: str, path: list[str]) -> list[str]:
        if name in path:
            return [*path[path.index(name) :], name]
        if name in finished:
            return []
        for other in sorted(graph[name]):
            if found := search(other, [*path, name]):
                return found
        finished.add(name)
        return []

    return next((found for name in graph if (found := search(name, []))), [])


@pytest.mark.parametrize("folder", LAYERS)
def test_imports_point_one_way(folder: str) -> None:
    order = list(LAYERS)
    allowed = order[order.index(folder) :]
    wrong = [
        f"{name} imports {other}"
        for name in modules(folder)
        for other in imports(name)
        if layer(other) not in allowed
    ]
    assert not wrong


def test_no_back_end_imports_another() -> None:
    """The modules of a back-end begin with its name, as tensorrt and tensorrt_plan."""
    home = "mattecast.engines.backends."

    def back_end(name: str) -> str:
        return name.removeprefix(home).partition("_")[0]

    names = [name for name in MODULES if name.startswith(home)]
    assert {"openvino", "tensorrt", "torch"} <= {back_end(name) for name in names}
    wrong = [
        f"{name} imports {other}"
        for name in names
        for other in imports(name)
        if other.startswith(home) and back_end(other) != back_end(name)
    ]
    assert not wrong


@pytest.mark.parametrize("folder", LAYERS)
def test_no_modules_import_each_other_in_a_circle(folder: str) -> None:
    graph = {
        name: {other for other in imports(name) if layer(other) == folder}
        for name in modules(folder)
    }
    assert not cycle(graph)


def test_a_circle_is_found() -> None:
    graph = {"a": {"b"}, "b": {"c"}, "c": {"d", "b"}, "d": set()}
    assert cycle(graph) == ["b", "c", "b"]
    assert not cycle({**graph, "c": {"d"}})
