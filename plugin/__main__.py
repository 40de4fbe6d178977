"""The mattecast command, and `python -m mattecast`: handles signals before large modules load."""

from __future__ import annotations

from mattecast.commands.signals import Stopped, report_stop, stoppable


def main() -> int:
    """Run the command on the process's arguments; returns the exit code."""
    try:
        with stoppable([]):
            from mattecast.commands.cli import main as run

            return run()
    except Stopped as stop:
        return report_stop(stop)


if __name__ == "__main__":
    raise SystemExit(main())
