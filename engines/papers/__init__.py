"""The systems of two papers, complete, behind one wall. Nothing here ships as a network.

1. The portrait-matting study: a simplified U-Net, U-Net and DeepLabV3+ on MobileNetV2, with
   pre-training on one data set and fine-tuning on another.
   Modules: unet, deeplab, still (what they share), losses.portrait_loss, corpora (data sets by
   name). Studies: scripts/studies/study_transfer.py (its table 1), study_models.py (its table 2).
2. "Deep Residual Network for High-Resolution Background Matting" (El Abdellaoui and Kachbal,
   Studies in Informatics and Control 30(3), 2021): DLMN-G, and SSRN, its adversarial refinement.
   Modules: dlmn, ssrn, deeplab (DLMN-G's soft segmentation), losses.dlmn_loss and losses.ssrn_loss.
   Studies: study_refinement.py (both networks), study_matting.py (figures 7 to 10, classical
   matting), compose_steps.py (its steps 4-1 to 4-5).
   Solvers that it compares, in mattecast.filters.matting: bayesian (Chuang et al. 2001), poisson
   (Sun et al. 2004), global_sampling (He et al. 2011), closed_form (Levin et al. 2008); PyMatting's
   stand beside them in mattecast.filters.matting.solvers. `--refine` offers all of them as well.

Only mattecast.engines.training imports this package, in four modules: `systems` names the networks,
`criteria` their losses, `release` their exports, and `fit` reads data sets by name. The family
`dlmn` of mattecast.engines.onnx_ports recognises exported files. The modules here import layers
from mattecast.engines.networks, and data sets and losses from mattecast.engines.training.
docs/studies/README.md has the commands and the results.
"""
