"""Timelines of editing programs: read, and written again with mattes beside their clips."""
