"""Matting networks, one per file: torch modules, picture and state in, matte and state out."""
