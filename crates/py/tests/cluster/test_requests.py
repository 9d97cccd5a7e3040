"""What becomes of a request of Dynamo's, without a cluster."""

import pytest
from dynamo.llm.exceptions import InvalidArgument, Unknown

from kun import dynamo

TOKENS = list(range(100, 150))


def lowered(id="a request", **parts):
    return dynamo.lowered({"model": "m", "token_ids": TOKENS, **parts}, id)


@pytest.mark.parametrize(
    ("parts", "expect"),
    [
        ({}, {"token_ids": TOKENS, "already_generated": 0, "loop_guard": "stop", "ignore_eos": False}),
        ({"stop_conditions": {"max_tokens": 7, "min_tokens": 3, "stop": ["x"]}}, {"max_tokens": 7, "min_tokens": 3}),
        ({"stop_conditions": {"stop_token_ids": [5], "stop_token_ids_hidden": [2, 5]}}, {"stop_token_ids": [2, 5]}),
        ({"eos_token_ids": [9], "stop_conditions": {"stop_token_ids_visible": [1]}}, {"stop_token_ids": [1, 9]}),
        (
            {"eos_token_ids": [9], "stop_conditions": {"ignore_eos": True, "stop_token_ids": [4]}},
            {"stop_token_ids": [4], "ignore_eos": True, "loop_guard": "off"},
        ),
        ({"sampling_options": {"temperature": 0.5, "top_k": -1, "n": 1}}, {"temperature": 0.5, "top_k": 0}),
        ({"sampling_options": {"seed": -1}}, {"seed": 2**64 - 1}),
        ({"sampling_options": {"guided_decoding": {"json": {"type": "object"}}}}, {"json_schema": {"type": "object"}}),
        ({"sampling_options": {"guided_decoding": {"choice": ["a", "b"], "regex": None}}}, {"choice": ["a", "b"]}),
        ({"output_options": {"logprobs": 2, "prompt_logprobs": 0}}, {"logprobs": 2, "prompt_logprobs": 0}),
        ({"routing": {"priority": 4, "dp_rank": 0, "lora_name": None}}, {"priority": 4}),
        ({"extra_args": {"nvext": {"extra_fields": ["worker_id"]}}}, {}),
    ],
)
def test_what_is_known_is_handed_on(parts, expect):
    asked = lowered(**parts)
    assert {name: asked.get(name) for name in expect} == expect


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ({"prompt_embeds": "AAAA"}, "prompt_embeds is not supported"),
        ({"something_new": {"a": 1}}, "something_new is not supported"),
        ({"routing": {"lora_name": "x"}}, "routing.lora_name is not supported"),
        ({"routing": {"dp_rank": 1}}, "routing.dp_rank can't be 1"),
        ({"stop_conditions": {"max_thinking_tokens": 5}}, "stop_conditions.max_thinking_tokens is not supported"),
        ({"sampling_options": {"n": 2}}, "sampling_options.n can't be 2"),
        ({"sampling_options": {"use_beam_search": True}}, "sampling_options.use_beam_search can't be True"),
        ({"output_options": {"something_new": 1}}, "output_options.something_new is not supported"),
        (
            {"sampling_options": {"guided_decoding": {"structural_tag": {"a": 1}}}},
            "sampling_options.guided_decoding.structural_tag is not supported",
        ),
        (
            {"sampling_options": {"guided_decoding": {"regex": "a", "grammar": "b"}}},
            "guided_decoding has regex and grammar; give one",
        ),
        ({"extra_args": {"nvext": {"cache_salt": "x"}}}, "nvext.cache_salt is not supported"),
        ({"extra_args": {"sampling_options": {"allowed_token_ids": [1]}}}, "allowed_token_ids is not supported"),
    ],
)
def test_what_is_not_known_is_refused_by_name(parts, message):
    with pytest.raises(InvalidArgument) as refused:
        lowered(**parts)
    assert str(refused.value) == message


def test_a_request_without_a_seed_has_one_that_is_its_own():
    assert lowered("one")["seed"] == lowered("one")["seed"] != lowered("another")["seed"]


@pytest.mark.parametrize("trace_id", [None, "0af7651916cd43dd8448eb211c80319c"])
def test_a_link_tells_the_prompt_from_the_answer(trace_id):
    link = dynamo.prompt_link(TOKENS, 30, trace_id)
    assert len(link["trace_id"]) == 32 and len(link["span_id"]) == 16
    # Dynamo lowers both counts by what was generated; the engine's `min_tokens` is of the whole answer.
    asked = lowered(migration_link=link, stop_conditions={"max_tokens": 8, "min_tokens": 2})
    assert (asked["already_generated"], asked["max_tokens"], asked["min_tokens"]) == (20, 8, 22)


@pytest.mark.parametrize(
    "link",
    [
        {"trace_id": "0af7651916cd43dd8448eb211c80319c", "span_id": "b7ad6b7169203331"},
        dynamo.prompt_link([1, *TOKENS[1:]], 30, None),
        dynamo.prompt_link([*TOKENS, 1], 51, None),
        {"span_id": "nothing"},
    ],
)
def test_a_link_of_another_kind_tells_nothing(link):
    assert lowered(migration_link=link)["already_generated"] == 0


def test_the_last_chunk_says_why_and_how_much():
    usage = {"prompt_tokens": 5, "completion_tokens": 3, "cached_tokens": 4}
    event = {"token_ids": [8], "finish_reason": "stop", "stop_token": 2, "usage": usage}
    chunk = dynamo.chunk_of(event, {"stop_conditions": {"stop_token_ids_visible": [2]}})
    assert chunk == {
        "token_ids": [8, 2],
        "index": 0,
        "finish_reason": "stop",
        "completion_usage": {
            "prompt_tokens": 5,
            "completion_tokens": 3,
            "total_tokens": 8,
            "prompt_tokens_details": {"cached_tokens": 4},
        },
    }
    assert dynamo.chunk_of(event, {})["token_ids"] == [8]
    assert "finish_reason" not in dynamo.chunk_of({"token_ids": [8], "finish_reason": None}, {})
    looped = dynamo.chunk_of({"token_ids": [], "finish_reason": "repetition", "usage": usage}, {})
    assert (looped["finish_reason"], looped["stop_reason"]) == ("stop", "repetition")
    formed = {"sampling_options": {"guided_decoding": {"regex": "a+"}}}
    looped = dynamo.chunk_of({"token_ids": [], "finish_reason": "repetition", "usage": usage}, formed)
    assert (looped["finish_reason"], looped["stop_reason"]) == ("length", "repetition")
    with pytest.raises(Unknown, match="no numbers"):
        dynamo.chunk_of({"token_ids": [], "finish_reason": "error", "error": "no numbers"}, {})


def test_log_probabilities():
    event = {"token_ids": [8], "finish_reason": None, "logprobs": [{"logprob": -0.5, "top": [(8, -0.5), (9, -1.0)]}]}
    chunk = dynamo.chunk_of(event, {})
    assert chunk["log_probs"] == [-0.5]
    assert [(top["rank"], top["token_id"], top["logprob"]) for top in chunk["top_logprobs"][0]] == [
        (1, 8, -0.5),
        (2, 9, -1.0),
    ]
    places = dynamo.prompt_logprobs_of([1, 2], [{"logprob": -3.0, "top": [(7, -0.1)]}])
    assert places == [None, {"7": {"rank": 1, "logprob": -0.1}, "2": {"logprob": -3.0}}]


def test_events_have_signed_hashes_and_an_end():
    translated = dynamo.KvEvents()
    stored = {"type": "stored", "hash": 2**63, "parent": 2**64 - 1, "token_ids": [7] * 32}
    assert translated(stored) == {
        "type": "stored",
        "token_ids": [7] * 32,
        "num_block_tokens": [32],
        "block_hashes": [-(2**63)],
        "parent_hash": -1,
    }
    assert translated({**stored, "hash": 7, "parent": None})["parent_hash"] is None
    assert translated({"type": "removed", "hash": 7}) == {"type": "removed", "block_hashes": [7]}
    assert translated({"type": "cleared"}) == {"type": "removed", "block_hashes": [-(2**63)]}
    assert translated({"type": "cleared"}) == {"type": "removed", "block_hashes": []}
