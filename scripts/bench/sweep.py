#!/usr/bin/env python3
"""Read every file of a folder: `probe` and `matte --range 0..0.2`, frames counted by ffprobe.

    python scripts/data/foreign_files.py foreign
    python scripts/bench/sweep.py foreign

A line for each file: how many frames ffprobe counts in the source and in the output, how many
findings of `check` are warnings or errors, or the line that refuses the file. Exits with 1 for a
traceback, a wrong count and a finding. `--whole` mattes whole files.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import traceback
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from mattecast import MattecastError, Settings, matte
from mattecast.inspect.check import check
from mattecast.inspect.probe import probe
from mattecast.media.pictures import is_still

_RANGE = 0.2
# Half a tick of the coarsest clock in use, Matroska's.
_ROUNDING = 0.0005


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one file; frames: counted by ffprobe in the source and in the output."""

    name: str
    expected: int | None
    written: int
    remark: str
    wrong: bool


def frame_times(path: Path) -> list[float]:
    """Times of the frames that ffprobe decodes of the first video stream, in seconds."""
    entries = "frame=best_effort_timestamp_time"
    command = ["ffprobe", "-v", "quiet", "-of", "json", "-select_streams", "v:0"]
    ended = subprocess.run(
        [*command, "-show_entries", entries, str(path)], capture_output=True, text=True, check=False
    )
    frames = json.loads(ended.stdout or "{}").get("frames", [])
    return [float(frame.get("best_effort_timestamp_time", "nan")) for frame in frames]


def expected_frames(path: Path, *, whole: bool) -> int | None:
    """How many frames the output should have: those of the source in the range.

    Frames without times, of raw streams, are counted at 25 a second. A chunk left out of an AVI
    repeats the frame before. None where ffprobe cannot read the file.
    """
    if is_still(path) and path.suffix not in (".webp", ".png"):
        return 1  # ffprobe counts the tiles of HEIC
    times = frame_times(path)
    if not times:
        return None
    first = min((time for time in times if time == time), default=0.0)
    known = [
        number / 25 if time != time else time - first for number, time in enumerate(sorted(times))
    ]
    if path.suffix == ".avi":
        step = min(later - earlier for earlier, later in pairwise(known))
        known = [number * step for number in range(round(known[-1] / step) + 1)]
    return sum(whole or time < _RANGE - _ROUNDING for time in known)


def swept(path: Path, folder: Path, *, whole: bool) -> Outcome:
    """Probe, matte and check one file."""
    output = folder / f"{path.name}.mov"
    settings = Settings(detail="fast", range=None if whole else f"0..{_RANGE}")
    try:
        probe(path)
        matte(path, output, settings)
        findings = check(output).findings
    except MattecastError as error:
        return Outcome(path.name, 0, 0, f"refused: {error}", wrong=False)
    except Exception:
        traceback.print_exc()
        return Outcome(path.name, 0, 0, "traceback", wrong=True)
    expected, written = expected_frames(path, whole=whole), len(frame_times(output))
    output.unlink()
    remarks = [str(each) for each in findings if each.level in ("warning", "error")]
    # The patterns of these files hold nobody, so an alpha of nothing is right.
    remarks = [remark for remark in remarks if "alpha content" not in remark]
    wrong = expected not in (None, written) or bool(remarks)
    return Outcome(path.name, expected, written, "; ".join(remarks), wrong)


def main() -> int:
    """Sweep a folder and print a line for each file."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--whole", action="store_true", help="matte whole files")
    parser.add_argument("--only", default="", help="only files with this in their name")
    options = parser.parse_args()
    if not shutil.which("ffprobe"):
        parser.error("ffprobe is needed to count frames; install ffmpeg")
    files = sorted(path for path in options.folder.iterdir() if path.is_file())
    wrong = 0
    with tempfile.TemporaryDirectory() as folder:
        for path in files:
            if options.only not in path.name:
                continue
            outcome = swept(path, Path(folder), whole=options.whole)
            wrong += outcome.wrong
            mark = "WRONG" if outcome.wrong else "ok"
            print(
                f"{mark:5} {outcome.name:24} {outcome.expected!s:>4} {outcome.written:3} "
                f"{outcome.remark}",
                flush=True,
            )
    print(f"{wrong} of {len(files)} files are wrong")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
