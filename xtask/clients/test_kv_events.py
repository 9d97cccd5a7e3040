"""What a gateway reads of the prefix cache, with ZeroMQ's own library, in the shape of vLLM's events."""

import os
import struct
import uuid

import httpx
import msgpack
import pytest
import zmq

PAGE = 32


@pytest.fixture
def subscribe():
    """Connects a subscriber; its messages come as (topic, number, events)."""
    context, sockets = zmq.Context(), []

    def connect(topic=b"kv@"):
        socket = context.socket(zmq.SUB)
        socket.setsockopt(zmq.RCVTIMEO, 20_000)
        socket.setsockopt(zmq.SUBSCRIBE, topic)
        socket.connect(os.environ["KUN_TEST_KV_EVENTS"])
        sockets.append(socket)
        return socket

    yield connect
    for socket in sockets:
        socket.close(linger=0)
    context.term()


def receive(socket):
    topic, number, payload = socket.recv_multipart()
    time, events, rank = msgpack.unpackb(payload)
    assert isinstance(time, float) and rank == 0
    return topic.decode(), struct.unpack(">Q", number)[0], events


def ask(url, model, prompt):
    """Has a prompt computed, and gives its tokens."""
    body = {"model": model, "prompt": prompt}
    tokens = httpx.post(f"{url}/tokenize", json=body, timeout=60).raise_for_status().json()["tokens"]
    body.update(max_tokens=2, temperature=0)
    httpx.post(f"{url}/v1/completions", json=body, timeout=60).raise_for_status()
    return tokens


def last_page(tokens):
    return tokens[(len(tokens) // PAGE - 1) * PAGE :][:PAGE]


def text():
    """About 200 tokens that no test has sent before."""
    return " ".join(uuid.uuid4().hex[:12] for _ in range(24))


def follow(socket, kept, until):
    """Takes events in until a page holds these tokens; the numbers have no gaps."""
    expected = kept.setdefault("next", 0)
    while True:
        topic, number, events = receive(socket)
        assert topic == "kv@smollm2:135m"
        assert number == expected
        expected += 1
        for event in events:
            if event["type"] == "BlockRemoved":
                for page in event["block_hashes"]:
                    del kept[page]
                continue
            assert event["type"] == "BlockStored"
            assert event["block_size"] == PAGE and event["medium"] == "GPU"
            assert event["lora_id"] is None and event["lora_name"] is None
            assert event["parent_block_hash"] is None or event["parent_block_hash"] in kept
            assert len(event["token_ids"]) == PAGE * len(event["block_hashes"])
            for at, page in enumerate(event["block_hashes"]):
                assert page not in kept
                kept[page] = event["token_ids"][at * PAGE : (at + 1) * PAGE]
        kept["next"] = expected
        if any(tokens == until for page, tokens in kept.items() if page != "next"):
            return


def test_a_prompt_that_was_computed_is_told_and_who_comes_later_is_told_too(url, model, subscribe):
    early, kept = subscribe(), {}
    tokens = ask(url, model, text())
    assert len(tokens) > 3 * PAGE
    follow(early, kept, last_page(tokens))
    late, all_of_it = subscribe(), {}
    follow(late, all_of_it, last_page(tokens))
    assert {k: v for k, v in kept.items() if k != "next"} == {k: v for k, v in all_of_it.items() if k != "next"}


def test_a_common_beginning_is_stored_once_and_gone_on_from(url, model, subscribe):
    socket, kept = subscribe(b"kv@smollm2"), {}
    beginning = text()
    first = ask(url, model, beginning)
    follow(socket, kept, last_page(first))
    before = set(kept)
    follow(socket, kept, last_page(ask(url, model, beginning + " " + text())))
    new = [tokens for page, tokens in kept.items() if page not in before]
    assert first[:PAGE] not in new


def test_other_topics_are_not_told(url, model, subscribe):
    socket = subscribe(b"other")
    ask(url, model, text())
    socket.setsockopt(zmq.RCVTIMEO, 300)
    with pytest.raises(zmq.Again):
        socket.recv_multipart()
