"""The mattecast command, and `python -m mattecast`: heeds signals before anything large loads."""

from __future__ import annotations

from mattecast.commands.signals import Stopped, stoppable, told


def main() -> int:
    """Run the command on the process's arguments; returns the exit code."""
    try:
        with stoppable([]):
            from mattecast.commands.cli import main as run

            return run()
    except Stopped as stop:
        return told(stop)


if __name__ == "__main__":
    raise SystemExit(main())
