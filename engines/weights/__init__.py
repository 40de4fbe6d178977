"""The networks that ship with mattecast, as ONNX files; README.md here is their model card."""
