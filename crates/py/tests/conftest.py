"""Two models: one of a few kilobytes for what only has to run, and the default model for what has to make sense.

The second is in the store of `KUN_HOME`, or is fetched.
"""

import pytest

import kun
import tiny as tiny_model


@pytest.fixture(scope="session")
def tiny_path(tmp_path_factory):
    return tiny_model.write(tmp_path_factory.mktemp("models") / "tiny.gguf")


@pytest.fixture(scope="session")
def tiny(tiny_path):
    with kun.Engine(tiny_path, memory="512MiB", threads=1, context=4096, sequences=32) as engine:
        yield engine


@pytest.fixture(scope="session")
def engine():
    with kun.Engine("smollm2:135m", memory="1GiB", context=1024, sequences=64) as engine:
        yield engine
