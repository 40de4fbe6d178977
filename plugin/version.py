"""The one place that names the version; apart, so that packaging can read it."""

__version__ = "0.1.0"
