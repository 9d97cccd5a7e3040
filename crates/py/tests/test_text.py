"""Text in, text out."""

import json

import numpy
import pytest

import kun


def test_prompts_are_continued_together_and_in_order(engine):
    prompts = ["The capital of France is", "One, two, three,", "The capital of France is"]
    answers = engine.generate(prompts, max_tokens=6, temperature=0)
    assert [answer.usage.prompt_tokens for answer in answers] == [
        len(engine.tokenize(prompt)) for prompt in prompts
    ]
    assert "Paris" in answers[0].text and answers[0].text == answers[2].text
    for answer in answers:
        assert answer.text == engine.detokenize(answer.token_ids)
        assert (answer.finish_reason, answer.usage.completion_tokens) == ("length", 6)
    alone = [engine.generate([prompt], max_tokens=6, temperature=0)[0] for prompt in prompts]
    assert [answer.token_ids for answer in alone] == [answer.token_ids for answer in answers]


def test_more_prompts_than_the_engine_takes_at_a_time_are_all_answered(tiny):
    prompts = [f"prompt {number}" for number in range(700)]
    answers = tiny.generate(prompts, max_tokens=3, temperature=0, ignore_eos=True)
    assert [len(answer.token_ids) for answer in answers] == [3] * 700
    assert [answer.usage.prompt_tokens for answer in answers] == [
        len(tiny.tokenize(prompt)) for prompt in prompts
    ]


def test_token_ids_are_prompts_too_also_numpys(engine):
    ids = engine.tokenize("The capital of France is")
    expected = engine.generate(["The capital of France is"], max_tokens=4, temperature=0)
    for prompt in (ids, numpy.array(ids)):
        assert engine.generate([prompt], max_tokens=4, temperature=0)[0].text == expected[0].text


def test_parameters_are_those_of_http(engine):
    answer = engine.generate(["One, two, three, four,"], max_tokens=20, temperature=0, stop=["six"])[0]
    assert (answer.finish_reason, answer.stop_reason, "six" in answer.text) == ("stop", "six", False)
    seeded = [engine.generate(["Once"], max_tokens=8, temperature=1, seed=5)[0].text for _ in range(2)]
    assert seeded[0] == seeded[1]
    choices = engine.generate(["Once"], max_tokens=8, temperature=1, seed=5, n=3)[0].choices
    assert len({choice["text"] for choice in choices}) > 1 and choices[0]["text"] == seeded[0]
    schema = {"type": "object", "properties": {"age": {"type": "integer"}}, "required": ["age"]}
    answer = engine.generate(["A person as JSON:"], max_tokens=40, temperature=0, json_schema=schema)[0]
    assert isinstance(json.loads(answer.text)["age"], int)


@pytest.mark.parametrize(
    ("params", "param", "part"),
    [
        ({"temprature": 1}, "temprature", "did you mean temperature?"),
        ({"temperature": 9}, "temperature", "between 0 and 2"),
        ({"max_tokens": "many"}, "max_tokens", "many"),
        ({"stream": True}, "stream", "no parameter"),
        ({"logit_bias": {"x": 1}}, "logit_bias", "no token id"),
        ({"seed": object()}, None, "JSON"),
    ],
)
def test_a_parameter_that_cannot_be_is_named(tiny, params, param, part):
    with pytest.raises(kun.RequestError, match=part) as raised:
        tiny.generate(["a"], **params)
    assert raised.value.param == param
    assert isinstance(raised.value, ValueError) and isinstance(raised.value, kun.Error)


def test_one_that_fails_ends_the_others_or_stands_in_its_place(tiny):
    prompts = ["a", "b" * 5000, "c"]
    with pytest.raises(kun.RequestError, match="context"):
        tiny.generate(prompts, max_tokens=2)
    answers = tiny.generate(prompts, max_tokens=2, on_error="return")
    assert isinstance(answers[1], kun.RequestError) and answers[1].code == "context_length_exceeded"
    assert [type(answers[number]) for number in (0, 2)] == [kun.Completion] * 2
    assert tiny.generate([]) == []
    with pytest.raises(TypeError, match="list of prompts"):
        tiny.generate("a")


def test_chats_are_answered_and_go_on(engine):
    asked = [{"role": "user", "content": "What is the capital of France?"}]
    answer = engine.chat(asked, max_tokens=30, temperature=0)
    assert "Paris" in answer.text and answer.finish_reason == "stop"
    asked += [answer.message, {"role": "user", "content": "And of Italy?"}]
    assert "Rome" in engine.chat(asked, max_tokens=30, temperature=0).text
    assert engine.chat("What is the capital of France?", max_tokens=30, temperature=0).text == answer.text
    with pytest.raises(kun.RequestError) as raised:
        engine.chat([{"role": "nobody"}])
    assert raised.value.param.startswith("messages")


def test_a_stream_says_what_the_whole_answer_says(engine):
    asked = [{"role": "user", "content": "Name three colours."}]
    whole = engine.chat(asked, max_tokens=24, temperature=0)
    stream = engine.stream(asked, max_tokens=24, temperature=0)
    pieces = list(stream)
    assert len(pieces) > 5 and "".join(piece.text for piece in pieces) == whole.text == stream.text
    assert (stream.finish_reason, stream.usage) == (whole.finish_reason, whole.usage)
    whole = engine.generate(["The sea"], max_tokens=12, temperature=0)[0]
    stream = engine.stream("The sea", max_tokens=12, temperature=0)
    assert [token for piece in stream for token in piece.token_ids] == whole.token_ids
    assert stream.text == whole.text


def test_what_is_wrong_with_a_stream_is_raised_by_its_first_step(tiny):
    with pytest.raises(kun.RequestError) as raised:
        next(iter(tiny.stream("a", temperature=9)))
    assert raised.value.param == "temperature"


def test_vectors_are_rows_of_float32_and_one_long(engine):
    texts = ["The sea is salty.", "The ocean is salty.", "def f(x): return x"] * 15
    vectors = engine.embed(texts)
    assert (vectors.shape, vectors.dtype) == ((45, engine.model_info()["embedding"]), numpy.float32)
    assert numpy.allclose(numpy.linalg.norm(vectors, axis=1), 1, atol=1e-4)
    assert numpy.array_equal(vectors[0], vectors[3])
    assert vectors[0] @ vectors[1] > vectors[0] @ vectors[2]
    mixed = engine.embed([texts[0], engine.tokenize(texts[0])])
    assert numpy.array_equal(mixed[0], mixed[1])
    assert engine.embed([]).shape == (0, engine.model_info()["embedding"])


def test_tokens_and_templates(engine, tiny):
    text = "Grüße, <|im_end|> 世界"
    assert engine.detokenize(engine.tokenize(text)) == text
    assert len(engine.tokenize(text)) < len(engine.tokenize(text, parse_special=False))
    assert tiny.tokenize("a")[0] == 260 and tiny.tokenize("a", add_special=False) == [ord("a")]
    with pytest.raises(kun.RequestError, match="token ids are 0 to"):
        tiny.detokenize([99999])
    prompt = engine.apply_template([{"role": "user", "content": "Hi"}])
    assert prompt.endswith("<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n")


def test_progress_is_shown_when_it_is_asked_for(tiny, capsys):
    tiny.generate(["a", "b"], max_tokens=2, progress=True)
    assert "2/2" in capsys.readouterr().err
    tiny.generate(["a", "b"], max_tokens=2)
    assert capsys.readouterr().err == ""
