"""What all client tests share: where the server is, and which model it has.

`cargo xtask test` starts `kun serve` with the catalogue's default model and says where in KUN_TEST_URL. Every call that
goes out is counted, and the last lines of the run say how many there were.
"""

import importlib
import os

import pytest

MODEL = "smollm2:135m"
CALLS = 0


def pytest_configure(config):
    if not os.environ.get("KUN_TEST_URL"):
        raise pytest.UsageError("KUN_TEST_URL names no server: run `cargo xtask test`")
    count_calls()


def pytest_terminal_summary(terminalreporter):
    terminalreporter.write_line(f"client calls: {CALLS}")


def count_calls():
    """Counts what goes through the HTTP libraries that these clients are built on."""

    def counted(send):
        def inner(*args, **kwargs):
            global CALLS
            CALLS += 1
            return send(*args, **kwargs)

        return inner

    for name in ("httpx", "httpx2"):
        try:
            library = importlib.import_module(name)
        except ImportError:
            continue
        library.Client.send = counted(library.Client.send)
        library.AsyncClient.send = counted(library.AsyncClient.send)


@pytest.fixture(scope="session")
def url():
    return os.environ["KUN_TEST_URL"].rstrip("/")


@pytest.fixture(scope="session")
def model():
    return MODEL
