"""Fixtures of the live tests."""

from __future__ import annotations

import keyed
import pytest
from sources import Relay, bound

from mattecast.live.capture import Capture, parse
from mattecast.live.pipeline import Controls
from mattecast.live.session import Session
from mattecast.live.threads import growing
from mattecast.settings import Settings


@pytest.fixture(scope="session")
def network(tmp_path_factory):
    """The network of keyed.py."""
    return keyed.network(tmp_path_factory.mktemp("network"))


@pytest.fixture
def sessions(network):
    """Starts sessions over an input and closes them."""
    made: list[Session] = []

    def run(input, *sinks, budget=5.0, **settings) -> Session:
        controls = Controls(
            Settings(model=str(network), network_size=160, **{"smooth": "off", **settings})
        )
        made.append(Session(input, controls, budget, list(sinks)))
        made[-1].start()
        return made[-1]

    yield run
    for one in made:
        one.close()


@pytest.fixture
def relay():
    """Makes relays, and unplugs them in the end."""
    made: list[Relay] = []

    def run(data: bytes, **options) -> Relay:
        made.append(Relay(data, **options))
        return made[-1]

    yield run
    for one in made:
        one.close()


@pytest.fixture
def reading():
    """Starts captures, which wait little before they open their source again, and closes them."""
    made: list[Capture] = []

    def run(text: str, **options) -> Capture:
        made.append(Capture(parse(text, **options), waits=lambda: growing(0.1, 0.2)))
        made[-1].start()
        return made[-1]

    yield run
    for one in made:
        one.close()


@pytest.fixture
def closed_port():
    """A port of this machine where nobody listens."""
    with bound() as held:
        yield int(held.getsockname()[1])
