"""Well-known networks that mattecast runs but does not ship, and where their authors keep them.

Sizes and hashes are those that the distributor states. Where none is stated, the hash is None and a
download is reported as unverified. The licences are the authors', and bind whoever uses the model.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from mattecast.engines.errors import EngineError


@dataclass(frozen=True, slots=True)
class WellKnown:
    """One network.

    page: of its authors. address: the URL of the ONNX file, or None where the page only links to
    it. size: about how many bytes. amendments: fields of its spec that the file does not state (see
    mattecast.engines.library.spec_of_file).
    """

    name: str
    about: str
    licence: str
    page: str
    address: str | None = None
    size: int | None = None
    sha256: str | None = None
    amendments: Mapping[str, object] = field(default_factory=dict)


_RVM = "https://github.com/PeterL1n/RobustVideoMatting"
_REMBG = "https://github.com/danielgatis/rembg"
_ZOO = "https://github.com/opencv/opencv_zoo"
_UNIT_HALF = {"mean": [127.5, 127.5, 127.5], "deviation": [127.5, 127.5, 127.5]}

CATALOGUE = {
    row.name: row
    for row in (
        WellKnown(
            "rvm",
            "Robust Video Matting, MobileNetV3; recurrent, people",
            "GPL-3.0",
            _RVM,
            f"{_RVM}/releases/download/v1.0.0/rvm_mobilenetv3_fp32.onnx",
            15_000_000,
        ),
        WellKnown(
            "rvm-resnet50",
            "Robust Video Matting, ResNet50: larger and slower",
            "GPL-3.0",
            _RVM,
            f"{_RVM}/releases/download/v1.0.0/rvm_resnet50_fp32.onnx",
            108_000_000,
        ),
        WellKnown(
            "modnet",
            "MODNet, portraits; one picture at a time",
            "Apache-2.0",
            "https://github.com/ZHKKKe/MODNet/tree/master/onnx",
        ),
        WellKnown(
            "background-matting-v2",
            "needs a picture of the empty scene",
            "MIT",
            "https://github.com/PeterL1n/BackgroundMattingV2",
        ),
        WellKnown(
            "u2net-human",
            "U2-Net human segmentation; one picture at a time",
            "Apache-2.0",
            "https://github.com/xuebinqin/U-2-Net",
            f"{_REMBG}/releases/download/v0.0.0/u2net_human_seg.onnx",
            176_000_000,
        ),
        WellKnown(
            "pp-humanseg",
            "PP-HumanSeg: 192x192, very fast and coarse",
            "Apache-2.0",
            f"{_ZOO}/tree/main/models/human_segmentation_pphumanseg",
            f"{_ZOO}/raw/main/models/human_segmentation_pphumanseg/"
            "human_segmentation_pphumanseg_2023mar.onnx",
            6_163_938,
            "552d8a984054e59b5d773d24b9b12022b22046ceb2bbc4c9aaeaceb36a9ddf24",  # its LFS pointer
            _UNIT_HALF,
        ),
    )
}


def well_known(name: str) -> WellKnown:
    """The row of a name; raises EngineError with the known names."""
    if name not in CATALOGUE:
        raise EngineError(f"model '{name}' is not in the catalogue: {', '.join(CATALOGUE)}")
    return CATALOGUE[name]
