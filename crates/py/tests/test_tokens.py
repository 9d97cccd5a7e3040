"""Token ids in, token ids out."""

import json

import pytest

import kun


def read(stream):
    """The tokens that are left of an answer, and its last piece."""
    tokens, last = [], None
    for piece in stream:
        assert last is None or last["finish_reason"] is None
        if piece.get("rewind"):
            del tokens[-piece["rewind"] :]
        tokens += piece["token_ids"]
        last = piece
    return tokens, last


@pytest.fixture(scope="module")
def prompt(engine):
    return engine.tokenize("Once upon a time there was")


def test_the_last_piece_says_how_it_ended_and_what_it_took(engine, prompt):
    tokens, last = read(engine.generate_tokens({"token_ids": prompt, "max_tokens": 7, "temperature": 0}))
    assert len(tokens) == 7 and last["finish_reason"] == "length" and "stop_token" not in last
    usage = {"prompt_tokens": len(prompt), "completion_tokens": 7, "cached_tokens": 0}
    assert last["usage"] | {"cached_tokens": 0} == usage
    assert tokens == engine.generate([prompt], max_tokens=7, temperature=0)[0].token_ids
    stop = tokens[3]
    until = tokens.index(stop)
    request = {"token_ids": prompt, "max_tokens": 7, "temperature": 0, "stop_token_ids": [stop]}
    stopped, last = read(engine.generate_tokens(request))
    assert (stopped, last["finish_reason"], last["stop_token"]) == (tokens[:until], "stop", stop)


def test_an_answer_goes_on_elsewhere_with_the_same_bits(engine, prompt):
    request = {
        "token_ids": prompt,
        "max_tokens": 40,
        "min_tokens": 30,
        "temperature": 0.9,
        "top_p": 0.95,
        "seed": 11,
        "frequency_penalty": 0.8,
        "repetition_penalty": 1.1,
        "logprobs": 1,
    }
    whole, end = read(engine.generate_tokens(request))
    for cut in (1, 7, 29, len(whole) - 1):
        rest = request | {
            "token_ids": prompt + whole[:cut],
            "already_generated": cut,
            "max_tokens": 40 - cut,
        }
        tokens, last = read(engine.generate_tokens(rest))
        assert tokens == whole[cut:], cut
        assert last["finish_reason"] == end["finish_reason"]
        for name in ("prompt_tokens", "completion_tokens"):
            assert last["usage"][name] == end["usage"][name]
    # Without being told, the penalties would not know.
    rest = request | {"token_ids": prompt + whole[:29], "max_tokens": 11, "min_tokens": 1}
    assert read(engine.generate_tokens(rest))[0] != whole[29:]


@pytest.mark.parametrize(
    "form",
    [
        {"json_schema": {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}},
        {"json_schema": '{"type": "array", "items": {"enum": ["red", "blue"]}, "minItems": 3, "maxItems": 3}'},
        {"regex": "[a-f]{3}-[0-9]{4}"},
        {"choice": ["salty", "sweet"]},
        {"grammar": 'root ::= "yes" | "no"'},
    ],
)
def test_answers_have_their_form_also_from_the_middle_on(engine, prompt, form):
    request = {"token_ids": prompt, "max_tokens": 60, "temperature": 0, **form}
    tokens, last = read(engine.generate_tokens(request))
    text = engine.detokenize(tokens, special=False)
    assert last["finish_reason"] == "stop"
    if "json_schema" in form:
        json.loads(text)
    elif "choice" in form:
        assert text in form["choice"]
    elif "grammar" in form:
        assert text in ("yes", "no")
    else:
        assert len(text) == 8 and text[3] == "-"
    for cut in range(1, len(tokens)):
        rest = request | {"token_ids": prompt + tokens[:cut], "already_generated": cut}
        assert read(engine.generate_tokens(rest))[0] == tokens[cut:], cut
    other = request | {"token_ids": prompt + engine.tokenize(" §"), "already_generated": 1}
    assert read(engine.generate_tokens(other))[1]["finish_reason"] == "error"


def test_log_probabilities_are_told_beside_their_tokens(engine, prompt):
    request = {"token_ids": prompt, "max_tokens": 3, "temperature": 0, "logprobs": 2, "prompt_logprobs": 1}
    pieces = list(engine.generate_tokens(request))
    assert len(pieces[0]["prompt_logprobs"]) == len(prompt) - 1
    for piece in pieces:
        for token, beside in zip(piece["token_ids"], piece["logprobs"], strict=True):
            assert beside["token_id"] == token == beside["top"][0][0]
            assert beside["logprob"] == beside["top"][0][1] > beside["top"][1][1]


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"temprature": 1}, "temprature"),
        ({"token_ids": None}, "token_ids"),
        ({"token_ids": []}, "token_ids"),
        ({"token_ids": ["a"]}, "token_ids"),
        ({"token_ids": [10**6]}, "token_ids"),
        ({"token_ids": [-1]}, "token_ids"),
        ({"top_p": 2}, "top_p"),
        ({"top_p": "much"}, "top_p"),
        ({"seed": 2**64}, "seed"),
        ({"min_tokens": 9}, "min_tokens"),
        ({"already_generated": 1}, "already_generated"),
        ({"loop_guard": "on"}, "loop_guard"),
        ({"logit_bias": {5: 1000}}, "logit_bias"),
        ({"json_schema": "{"}, "json_schema"),
        ({"json_schema": {"type": "thing"}}, "json_schema"),
        ({"regex": "("}, "regex"),
        ({"regex": "a", "choice": ["a"]}, "choice"),
    ],
)
def test_what_cannot_be_is_refused_by_name(tiny, change, param):
    with pytest.raises(kun.RequestError) as raised:
        tiny.generate_tokens({"token_ids": [97], "max_tokens": 4, **change})
    assert raised.value.param == param


def test_a_cancelled_answer_says_so_and_a_dropped_one_is_gone(tiny):
    endless = {"token_ids": [97], "ignore_eos": True, "temperature": 0, "max_tokens": 1000}
    stream = tiny.generate_tokens(endless)
    assert next(stream)["finish_reason"] is None
    stream.cancel()
    _, last = read(stream)
    assert last["finish_reason"] == "cancelled"
    assert list(stream) == []
    cancelled = tiny.stats()["cancelled"]
    stream = tiny.generate_tokens(endless | {"token_ids": [98]})
    next(stream)
    del stream
    # Behind it in the queue, so when this one has come the other has gone.
    while tiny.stats()["cancelled"] == cancelled:
        read(tiny.generate_tokens({"token_ids": [99], "max_tokens": 1}))
    assert tiny.stats()["open"] == 0
