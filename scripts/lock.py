#!/usr/bin/env python3
"""Write scripts/constraints.txt: one version of every package that the tests and checks use.

    scripts/lock.py python3.11 python3.12 python3.13

Each Python is asked which versions pip would choose today; nothing is installed. Where the Pythons
disagree, a line says which of them it is for.
"""

import json
import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CONSTRAINTS = ROOT / "scripts" / "constraints.txt"
HEADER = "# Written by scripts/lock.py for Python {}. Used by scripts/environment.sh.\n"
# CUDA's libraries come with one build of torch and not with the other.
LEFT_OUT = ("cuda-", "mattecast", "nvidia-", "triton")

Versions = dict[str, str]  # of each package


def main(pythons: list[str]) -> int:
    if not pythons:
        print(__doc__, file=sys.stderr)
        return 2
    found = {version_of(python): resolve(python) for python in pythons}
    ordered = dict(sorted(found.items()))
    names = sorted({name for versions in ordered.values() for name in versions})
    lines = [line for name in names for line in lines_of(name, ordered)]
    known = ", ".join(f"3.{minor}" for minor in ordered)
    CONSTRAINTS.write_text(HEADER.format(known) + "".join(f"{line}\n" for line in lines))
    print(f"{CONSTRAINTS.relative_to(ROOT)}: {len(names)} packages for Python {known}")
    return 0


def version_of(python: str) -> int:
    """The minor version of a Python 3."""
    script = "import sys; print(sys.version_info.minor)"
    return int(subprocess.check_output([python, "-c", script]))


def resolve(python: str) -> Versions:
    """The packages that pip would install for the dev extra and torch, and their versions."""
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    torch = extras["optional-dependencies"]["torch"]
    command = [python, "-m", "pip", "install", "--dry-run", "--ignore-installed", "--quiet"]
    command += ["--report", "-", f"{ROOT}[dev]", *torch]
    report = json.loads(subprocess.check_output(command))
    packages = [package["metadata"] for package in report["install"]]
    versions = {
        each["name"].lower().replace("_", "-"): each["version"].partition("+")[0]
        for each in packages
    }
    return {name: each for name, each in versions.items() if not name.startswith(LEFT_OUT)}


def lines_of(name: str, found: dict[int, Versions]) -> list[str]:
    """Constraints of one package: one line, or one for each run of Pythons that agree."""
    runs: list[tuple[list[int], str]] = []
    for minor, versions in found.items():
        version = versions.get(name)
        if version and runs and runs[-1][1] == version:
            runs[-1][0].append(minor)
        elif version:
            runs.append(([minor], version))
    if len(runs) == 1:
        return [f"{name}=={runs[0][1]}"]
    return [f"{name}=={version}; {marker(minors, found)}" for minors, version in runs]


def marker(minors: list[int], found: dict[int, Versions]) -> str:
    """For which Pythons a line is: open below the oldest of all and above the newest."""
    first, last = minors[0], minors[-1]
    parts = [f'python_version >= "3.{first}"'] if first != min(found) else []
    parts += [f'python_version < "3.{last + 1}"'] if last != max(found) else []
    return " and ".join(parts)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
