"""Matting networks, one per file: torch modules of one frame and its state in, matte and state out."""
