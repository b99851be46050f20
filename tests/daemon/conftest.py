"""One daemon for all the tests, as new for each of them; real clocks, since the daemon's is."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.answers import ACQUAINTANCES, ANNA, BERT

from .rig import NUMBER, SignalRig, recipient


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture(scope="session")
def shared_rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SignalRig]:
    with SignalRig(tmp_path_factory.mktemp("rig")) as rig:
        rig.meet(NUMBER, *ACQUAINTANCES, *(recipient(number) for number in range(10)))
        yield rig


@pytest.fixture(scope="session")
def friends(shared_rig: SignalRig) -> str:
    """A group of ANNA and BERT."""
    return shared_rig.make_group(ANNA, BERT)


@pytest.fixture
def rig(shared_rig: SignalRig) -> Iterator[SignalRig]:
    """The daemon, running, with nothing wrong and nothing sent yet."""
    shared_rig.reset()
    yield shared_rig
    if shared_rig.running:
        shared_rig.thaw()
