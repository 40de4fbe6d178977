"""The JSON file beside a network file: what no ONNX file states about a network."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

from mattecast.engines.errors import EngineError
from mattecast.engines.spec import Meaning


def _is_three_numbers(value: object) -> bool:
    return (
        isinstance(value, list)
        and len(value) == 3
        and all(type(one) in (int, float) and math.isfinite(one) for one in value)
    )


def _is_positive_integer(value: object) -> bool:
    return type(value) is int and value > 0


# The fields of a ModelSpec that the file may set: what is expected in words, and the check.
_FIELDS: dict[str, tuple[str, Callable[[Any], bool]]] = {
    "mean": ("three numbers", _is_three_numbers),
    "deviation": (
        "three numbers above 0",
        lambda value: _is_three_numbers(value) and min(value) > 0,
    ),
    "meaning": (f"one of {', '.join(get_args(Meaning))}", lambda value: value in get_args(Meaning)),
    "long_side": ("a whole number above 0", _is_positive_integer),
    "multiple": ("a whole number above 0", _is_positive_integer),
}


def read_amendments(path: Path) -> dict[str, object]:
    """The fields of a ModelSpec that a JSON file sets.

    Raises EngineError for a file that is not JSON, an unknown field, and a value that no network
    can have.
    """
    try:
        amendments = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise EngineError(f"{path}: not readable as JSON ({error})") from error
    if not isinstance(amendments, dict):
        raise EngineError(f"{path}: expected {{...}} with any of {', '.join(_FIELDS)}")
    for key, value in amendments.items():
        if key not in _FIELDS:
            raise EngineError(f"{path}: '{key}' is not one of {', '.join(_FIELDS)}")
        expected, is_valid = _FIELDS[key]
        if not is_valid(value):
            raise EngineError(f"{path}: {key} is {json.dumps(value)}, expected {expected}")
    return amendments
