"""Live: takes a camera and gives a source with alpha in OBS. No picture waits in a queue."""
