"""Location of the research data, skips where it is absent, and the state that every test starts from."""

import logging
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

import onelook  # noqa: F401  (switches off the telemetry of libraries before a test imports them)
from helpers.network import deny_network

# No deadline: a busy machine must not fail a property. Derandomized: a failure must be reproducible.
settings.register_profile("onelook", deadline=None, derandomize=True)
settings.load_profile("onelook")

NETWORK_ATTEMPTS = deny_network()

SHARED_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if not SHARED_DATA.is_dir():
        _skip_marked(items, "shared_data", "needs ../shared/data, which is absent")
    if any("gpu" in item.keywords for item in items) and not _has_cuda():
        _skip_marked(items, "gpu", "needs a CUDA card")


def _skip_marked(items: list[pytest.Item], marker: str, reason: str) -> None:
    for item in items:
        if marker in item.keywords:
            item.add_marker(pytest.mark.skip(reason=reason))


def _has_cuda() -> bool:
    import torch

    return torch.cuda.is_available()


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Return the folder of research photographs and weights."""
    return SHARED_DATA


@pytest.fixture(scope="session")
def project() -> Path:
    """Return the root of the checkout."""
    return Path(__file__).resolve().parents[1]


@pytest.fixture(autouse=True)
def package_logger() -> Iterator[None]:
    """Undo what a command in the test process changed: `-q` would silence the warnings that later tests expect."""
    logger = logging.getLogger("onelook")
    level, handlers = logger.level, list(logger.handlers)
    yield
    logger.setLevel(level)
    logger.handlers[:] = handlers


@pytest.fixture(autouse=True)
def no_network() -> Iterator[None]:
    """Fail a test whose code tries to reach another machine, also where a library hides that it cannot."""
    NETWORK_ATTEMPTS.clear()
    yield
    assert NETWORK_ATTEMPTS == []


@pytest.fixture(autouse=True)
def nondeterministic_torch() -> Iterator[None]:
    """Undo the choice of deterministic algorithms by a training in the test process."""
    yield
    if "torch" in sys.modules:
        import torch

        torch.use_deterministic_algorithms(False)
