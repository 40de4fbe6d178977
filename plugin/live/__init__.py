"""Live: a camera in, a source with true alpha in OBS out. Newest frame wins; nothing queues."""
