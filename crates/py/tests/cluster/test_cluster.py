"""What a cluster is for: prompts go where their pages are, streams outlive their workers, and workers come and go."""

import json
import signal
import threading
import time

import jsonschema
import openai
import pytest
from processes import SERVED, until

from kun.dynamo import SILENCE_SECONDS

STORY = "Once upon a time there was a small town by the sea, and in it lived"


def prompt(number):
    """About 200 tokens that no other number has."""
    return f"Report {number}. " + " ".join(f"Item {number * 1000 + i} is in order." for i in range(16))


def test_a_prompt_goes_where_its_pages_are(two_workers):
    cluster = two_workers
    ask = lambda number: cluster.frontend.complete(prompt(number), max_tokens=2, temperature=0)
    together([lambda n=n: ask(n) for n in range(8)])
    filled = [worker.metrics() for worker in cluster.workers]
    assert all(numbers["kun_prefix_tokens_queried"] > 0 for numbers in filled), "both workers had some of the prompts"
    # The router hears of pages a moment after the answer.
    until(lambda: cached(ask(0)) > 0, "the first prompt is found again", seconds=10)
    again = [ask(number) for number in range(8)]
    for answer in again:
        assert cached(answer) >= answer["usage"]["prompt_tokens"] - 64, answer["usage"]
    gained = [w.metrics()["kun_prefix_tokens_hit"] - f["kun_prefix_tokens_hit"] for w, f in zip(cluster.workers, filled)]
    assert all(tokens > 0 for tokens in gained), f"each worker had the prompts that it knew: {gained}"


SETTINGS = [
    pytest.param({"temperature": 0}, id="greedy"),
    pytest.param(
        {"temperature": 1.2, "seed": 7, "frequency_penalty": 0.7, "presence_penalty": 0.4, "top_p": 0.95}, id="sampled"
    ),
]


@pytest.mark.parametrize("settings", SETTINGS)
def test_a_stream_outlives_its_worker(two_workers, settings):
    cluster = two_workers
    settings = {"max_tokens": 200, "ignore_eos": True, **settings}
    undisturbed = list(cluster.frontend.pieces(STORY, **settings))
    assert undisturbed[-1][1] == "length" and len(text(undisturbed)) > 200

    pieces, victim = [], None
    for piece in cluster.frontend.pieces(STORY, **settings):
        pieces.append(piece)
        if len(pieces) == 20:
            [victim] = cluster.busy()
            assert victim.end(signal.SIGKILL) == -signal.SIGKILL
    assert victim is not None and len(cluster.workers) == 2
    assert text(pieces) == text(undisturbed) and pieces[-1][1] == "length"


def test_a_stream_goes_on_elsewhere_when_its_worker_says_nothing(two_workers):
    cluster = two_workers
    settings = {"max_tokens": 200, "ignore_eos": True, "temperature": 0}
    undisturbed = text(cluster.frontend.pieces(STORY, **settings))
    pieces, gaps, last = [], [], time.monotonic()
    for piece in cluster.frontend.pieces(STORY, **settings):
        gaps.append(time.monotonic() - last)
        last += gaps[-1]
        pieces.append(piece)
        if len(pieces) == 20:
            [silent] = cluster.busy()
            silent.child.send_signal(signal.SIGSTOP)
    silent.child.send_signal(signal.SIGCONT)
    assert text(pieces) == undisturbed
    assert SILENCE_SECONDS - 1 < max(gaps) < 2 * SILENCE_SECONDS
    until(lambda: silent.metrics()["kun_open"] == 0, "the worker that was silent has nothing to do any more")


def test_a_stream_that_waits_is_not_taken_for_lost(cluster):
    cluster.have(0)
    worker = cluster.add(more=("--sequences", "1"))
    cluster.have(1)
    began = time.monotonic()

    def keep_it_busy():
        for _ in cluster.frontend.pieces(STORY, max_tokens=1900, ignore_eos=True):
            if time.monotonic() - began > SILENCE_SECONDS + 2:
                return

    busy = threading.Thread(target=keep_it_busy)
    busy.start()
    until(cluster.busy, "the worker is busy")
    answer = cluster.frontend.complete("Another one.", max_tokens=2)
    assert time.monotonic() - began > SILENCE_SECONDS + 1, "it had to wait"
    busy.join()
    assert answer["usage"]["completion_tokens"] == 2
    assert worker.metrics()["kun_cancelled"] == 1, "the client that left, and nobody else"
    cluster.have(0)


def left_in_mid_stream(cluster, **settings):
    """The pieces of a stream whose worker is told to go after ten of them, and that worker."""
    pieces, leaving = [], None
    for piece in cluster.frontend.pieces(STORY, **settings):
        pieces.append(piece)
        if len(pieces) == 10:
            [leaving] = cluster.busy()
            leaving.child.send_signal(signal.SIGTERM)
    return pieces, leaving


def test_a_worker_ends_its_streams_before_it_goes(two_workers):
    cluster = two_workers
    settings = {"max_tokens": 150, "temperature": 0, "ignore_eos": True}
    undisturbed = text(cluster.frontend.pieces(STORY, **settings))
    pieces, leaving = left_in_mid_stream(cluster, **settings)
    assert text(pieces) == undisturbed
    assert leaving.end() == 0, "a drained worker's exit code"
    log = leaving.log.read_text()
    assert "the engine is closed" in log and "go on elsewhere" not in log


def test_a_stream_that_is_too_long_for_the_drain_goes_on_elsewhere(cluster):
    cluster.have(0)
    for _ in range(2):
        cluster.add(drain_seconds=0)
    cluster.have(2)
    settings = {"max_tokens": 300, "temperature": 0, "ignore_eos": True}
    undisturbed = text(cluster.frontend.pieces(STORY, **settings))
    pieces, leaving = left_in_mid_stream(cluster, **settings)
    assert text(pieces) == undisturbed
    assert leaving.end() == 0
    assert "1 streams go on elsewhere" in leaving.log.read_text()
    # The others are to have time again.
    cluster.have(0)


def test_a_third_worker_takes_load(two_workers):
    third = two_workers.add()

    def burst():
        together([lambda n=n: two_workers.frontend.complete(prompt(n), max_tokens=8) for n in range(100, 112)])
        return third.metrics()["kun_prefix_tokens_queried"] > 0

    until(burst, "the third worker has prompts")


def test_a_client_that_leaves_frees_its_pages(two_workers):
    [before] = {worker.metrics()["kun_pages_used"] for worker in two_workers.workers}
    stream = two_workers.frontend.pieces(STORY, max_tokens=1500, ignore_eos=True)
    next(stream)
    [worker] = two_workers.busy()
    until(lambda: worker.metrics()["kun_pages_used"] > before, "the worker says that pages are used")
    stream.close()
    until(lambda: worker.metrics()["kun_open"] == 0, "the worker noticed", seconds=10)
    until(lambda: worker.metrics()["kun_pages_used"] == before, "the pages are free again")


def test_an_answer_has_its_schema(two_workers):
    schema = {
        "type": "object",
        "properties": {"name": {"type": "string", "maxLength": 12}, "age": {"type": "integer", "maximum": 120}},
        "required": ["name", "age"],
        "additionalProperties": False,
    }
    form = {"type": "json_schema", "json_schema": {"name": "person", "schema": schema, "strict": True}}
    status, answer = two_workers.frontend.post(
        "/v1/chat/completions",
        {"messages": [{"role": "user", "content": "Invent a person."}], "response_format": form, "max_tokens": 64},
    )
    assert status == 200, answer
    jsonschema.validate(json.loads(answer["choices"][0]["message"]["content"]), schema)


def test_the_openai_client(two_workers):
    client = openai.OpenAI(base_url=two_workers.frontend.url + "/v1", api_key="none", max_retries=0)
    assert [model.id for model in client.models.list()] == [SERVED]
    messages = [{"role": "system", "content": "You are a helpful AI assistant."}]
    messages += [{"role": "user", "content": "What is the capital of France?"}]
    asked = {"model": SERVED, "messages": messages, "max_tokens": 32, "temperature": 0}
    whole = client.chat.completions.create(**asked, logprobs=True, top_logprobs=3)
    assert "Paris" in whole.choices[0].message.content and whole.choices[0].finish_reason == "stop"
    assert whole.usage.total_tokens == whole.usage.prompt_tokens + whole.usage.completion_tokens
    for place in whole.choices[0].logprobs.content:
        assert place.logprob <= 0 and len(place.top_logprobs) >= 3
    pieces = [chunk.choices[0].delta.content or "" for chunk in client.chat.completions.create(**asked, stream=True)]
    assert "".join(pieces) == whole.choices[0].message.content


@pytest.mark.parametrize(
    ("more", "name"),
    [
        ({"n": 2}, "n"),
        ({"nvext": {"max_thinking_tokens": 5}}, "max_thinking_tokens"),
        ({"cache_salt": "mine"}, "cache_salt"),
    ],
)
def test_what_is_not_supported_is_refused_by_name(two_workers, more, name):
    status, answer = two_workers.frontend.post("/v1/completions", {"prompt": STORY, "max_tokens": 2, **more})
    assert status == 400 and name in answer, answer


def text(pieces):
    return "".join(piece for piece, _ in pieces)


def cached(answer):
    return (answer["usage"].get("prompt_tokens_details") or {}).get("cached_tokens") or 0


def together(calls):
    """Makes all calls at the same time; the first error is raised."""
    errors = []

    def guarded(call):
        try:
            call()
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=guarded, args=(call,)) for call in calls]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]
