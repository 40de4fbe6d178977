"""`python -m mattecast`."""

from mattecast.cli import main

raise SystemExit(main())
