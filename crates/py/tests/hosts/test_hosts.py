"""A cluster on two hosts that find each other by etcd: prompts go where their pages are, and streams outlive a host."""

import contextlib
import signal
import time

import pytest
from processes import SERVED, Frontend, Worker, until

STORY = "".join(f"House {number} of the town by the sea is a fisherman's. " for number in range(16)) + "One day"
SETTINGS = {"max_tokens": 400, "ignore_eos": True, "temperature": 0.8, "seed": 7, "frequency_penalty": 0.3}


@pytest.fixture
def cluster(hosts, etcd, tmp_path):
    """A frontend and a worker on the first host, and one on the second that has the story's pages."""
    # A cluster that was killed is known for some seconds.
    found = ("--discovery", "etcd", "--namespace", tmp_path.name)
    common = lambda host: {"more": (*found, "--advertise", host.address), "within": host.within}
    with contextlib.ExitStack() as ends:

        def started(process):
            ends.callback(process.end, signal.SIGKILL)
            return process

        worker = lambda host: started(Worker(host.name, tmp_path, 20, variables=etcd, **common(host)))
        north, south = hosts
        ends.callback(south.connect)
        frontend = started(Frontend(tmp_path, north.address, variables=etcd, **common(north)))
        far = worker(south)
        until(lambda: far.is_ready, "the worker on the second host is ready")
        until(lambda: knows_the_model(frontend), "the frontend knows the model")
        undisturbed = text(frontend.pieces(STORY, **SETTINGS))
        near = worker(north)
        until(lambda: near.is_ready, "the worker on the first host is ready")
        until(lambda: is_split(frontend, near), "the frontend knows both workers")
        yield frontend, near, far, undisturbed


def test_a_prompt_goes_to_the_host_that_has_its_pages(cluster):
    frontend, near, far, _ = cluster
    before = near.metrics()["kun_prefix_tokens_queried"]
    for _ in range(4):
        answer = frontend.complete(STORY, max_tokens=2, temperature=0)
        assert answer["usage"]["prompt_tokens_details"]["cached_tokens"] >= answer["usage"]["prompt_tokens"] - 64
    assert near.metrics()["kun_prefix_tokens_queried"] == before


@pytest.mark.parametrize("way", ["killed", "cut off"])
def test_a_stream_outlives_its_host(cluster, hosts, way):
    frontend, near, far, undisturbed = cluster
    before = near.metrics()["kun_generated_tokens"]
    pieces = []
    for piece in frontend.pieces(STORY, **SETTINGS):
        pieces.append(piece)
        if len(pieces) == 50:
            assert far.metrics()["kun_open"] == 1 and near.metrics()["kun_open"] == 0
            if way == "killed":
                assert far.end(signal.SIGKILL) == -signal.SIGKILL
            else:
                hosts[1].cut_off()
    assert text(pieces) == undisturbed and pieces[-1][1] == "length"
    assert near.metrics()["kun_generated_tokens"] > before + 100


def knows_the_model(frontend):
    with contextlib.suppress(OSError):
        return SERVED in frontend.get("/v1/models")


def is_split(frontend, near):
    """Whether prompts that nobody has pages of reach the worker, too."""
    frontend.complete(f"{time.monotonic()} is the time, and {SETTINGS} is what it is.", max_tokens=1)
    return near.metrics()["kun_prefix_tokens_queried"] > 0


def text(pieces):
    return "".join(piece for piece, _ in pieces)
