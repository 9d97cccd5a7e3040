"""A cluster for all tests, which may kill workers of it. `cargo xtask test` says in KUN_TEST_TOKENIZER where the tokenizer is."""

import contextlib
import os

import pytest
from processes import TOKENIZER, Cluster


@pytest.fixture(scope="session")
def cluster(tmp_path_factory):
    if not os.environ.get(TOKENIZER):
        raise pytest.UsageError(f"{TOKENIZER} names no folder: run `cargo xtask test`")
    cluster = Cluster(tmp_path_factory.mktemp("cluster"))
    with contextlib.closing(cluster):
        cluster.have(2)
        yield cluster


@pytest.fixture
def two_workers(cluster):
    """The cluster with two workers, whatever another test has done to them."""
    cluster.have(2)
    return cluster


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    report = yield
    cluster = item.funcargs.get("cluster") or item.funcargs.get("two_workers")
    if report.failed and cluster:
        report.sections += [(f"log of {process.name}", process.tail()) for process in cluster.processes()]
    return report
