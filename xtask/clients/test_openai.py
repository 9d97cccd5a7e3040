"""The official OpenAI client for Python, unchanged but for its address."""

import asyncio
import base64
import json
import struct

import openai
import pytest
from openai import AsyncOpenAI, OpenAI

PARIS = [{"role": "user", "content": "What is the capital of France?"}]


@pytest.fixture(scope="module")
def client(url):
    return OpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0)


def chat(client, model, **more):
    return client.chat.completions.create(model=model, messages=PARIS, temperature=0, **more)


def test_chat(client, model):
    answer = chat(client, model, max_completion_tokens=32)
    assert "Paris" in answer.choices[0].message.content
    assert answer.choices[0].finish_reason == "stop"
    assert answer.object == "chat.completion" and answer.model == model
    usage = answer.usage
    assert usage.total_tokens == usage.prompt_tokens + usage.completion_tokens
    assert usage.prompt_tokens_details.cached_tokens <= usage.prompt_tokens


def test_chat_in_pieces_is_the_whole(client, model):
    whole = chat(client, model, max_tokens=24).choices[0].message.content
    chunks = list(chat(client, model, max_tokens=24, stream=True, stream_options={"include_usage": True}))
    assert len({(chunk.id, chunk.created, chunk.model) for chunk in chunks}) == 1
    assert chunks[0].choices[0].delta.role == "assistant"
    assert "".join(c.choices[0].delta.content or "" for c in chunks if c.choices) == whole
    reasons = [c.choices[0].finish_reason for c in chunks if c.choices]
    assert reasons[-1] in ("stop", "length") and set(reasons[:-1]) == {None}
    assert chunks[-1].choices == [] and chunks[-1].usage.completion_tokens > 0


def test_stream_helper(client, model):
    with client.chat.completions.stream(model=model, messages=PARIS, temperature=0, max_tokens=16) as stream:
        kinds = [event.type for event in stream]
        final = stream.get_final_completion()
    assert "content.delta" in kinds and kinds[-1] in ("content.done", "chunk")
    assert final.choices[0].message.content


@pytest.mark.parametrize("n", [1, 2, 4])
def test_n_answers(client, model, n):
    answer = client.chat.completions.create(
        model=model, messages=PARIS, n=n, temperature=1.0, seed=5, max_tokens=8
    )
    assert [choice.index for choice in answer.choices] == list(range(n))
    if n > 1:
        assert len({choice.message.content for choice in answer.choices}) > 1
    again = client.chat.completions.create(
        model=model, messages=PARIS, n=n, temperature=1.0, seed=5, max_tokens=8
    )
    assert [c.message.content for c in answer.choices] == [c.message.content for c in again.choices]


@pytest.mark.parametrize("top", [0, 1, 5, 20])
def test_logprobs(client, model, top):
    answer = chat(client, model, max_tokens=6, logprobs=True, top_logprobs=top)
    content = answer.choices[0].logprobs.content
    assert len(content) == answer.usage.completion_tokens or answer.choices[0].finish_reason == "stop"
    assert "".join(bytes(t.bytes).decode() for t in content) == answer.choices[0].message.content
    for token in content:
        assert token.logprob <= 0 and len(token.top_logprobs) == top
        if top:
            assert token.top_logprobs[0].token == token.token


@pytest.mark.parametrize("stop", ["Paris", ["nowhere", "Paris"], [" is"]])
def test_stop(client, model, stop):
    answer = chat(client, model, max_tokens=32, stop=stop)
    assert answer.choices[0].finish_reason == "stop"
    found = [stop] if isinstance(stop, str) else stop
    assert not any(text in answer.choices[0].message.content for text in found)
    assert answer.choices[0].stop_reason in found


def test_length(client, model):
    answer = chat(client, model, max_tokens=2)
    assert answer.choices[0].finish_reason == "length" and answer.usage.completion_tokens == 2


@pytest.mark.parametrize("seed", [0, 1, -7, 2**63 - 1])
def test_a_seed_repeats_its_answer(client, model, seed):
    ask = lambda: client.chat.completions.create(
        model=model, messages=PARIS, temperature=1.5, seed=seed, max_tokens=12
    )
    assert ask().choices[0].message.content == ask().choices[0].message.content


def test_logit_bias_forbids(client, model):
    free = chat(client, model, max_tokens=1, logprobs=True, top_logprobs=1)
    first = free.choices[0].logprobs.content[0].token
    tokens = client.post("/../tokenize", cast_to=object, body={"content": first})["tokens"]
    other = chat(client, model, max_tokens=1, logit_bias={str(tokens[0]): -100})
    assert other.choices[0].message.content != free.choices[0].message.content


@pytest.mark.parametrize(
    "extra",
    [
        {"top_k": 1},
        {"min_p": 0.5},
        {"typical_p": 0.9},
        {"repeat_penalty": 1.3},
        {"min_tokens": 6},
        {"ignore_eos": True},
        {"stop_token_ids": [0]},
        {"priority": 1},
        {"deadline_ms": 60000},
        {"debug": {"cache": True}},
    ],
)
def test_additions(client, model, extra):
    answer = chat(client, model, max_tokens=6, extra_body=extra)
    assert answer.choices[0].message.content is not None
    assert answer.timings["prompt_ms"] >= 0


@pytest.mark.parametrize("penalty", ["frequency_penalty", "presence_penalty"])
def test_penalties(client, model, penalty):
    assert chat(client, model, max_tokens=8, **{penalty: 1.5}).usage.completion_tokens <= 8


@pytest.mark.parametrize(
    "wrong, param",
    [
        ({"temperature": 3}, "temperature"),
        ({"top_p": 0}, "top_p"),
        ({"n": 0}, "n"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"presence_penalty": 5}, "presence_penalty"),
        ({"top_logprobs": 2}, "top_logprobs"),
        ({"stop": [""]}, "stop"),
        ({"logit_bias": {"abc": 1}}, "logit_bias"),
        ({"response_format": {"type": "xml"}}, "response_format.type"),
        ({"modalities": ["audio"]}, "modalities"),
        ({"store": True}, "store"),
    ],
)
def test_what_is_wrong_is_named(client, model, wrong, param):
    with pytest.raises(openai.BadRequestError) as error:
        client.chat.completions.create(model=model, messages=PARIS, **wrong)
    assert error.value.param == param, error.value
    assert error.value.type == "invalid_request_error"


def test_unknown_model(client):
    with pytest.raises(openai.NotFoundError) as error:
        client.chat.completions.create(model="gpt-9", messages=PARIS)
    assert error.value.code == "model_not_found"


def test_too_long(client, model):
    with pytest.raises(openai.BadRequestError) as error:
        client.chat.completions.create(model=model, messages=[{"role": "user", "content": "word " * 20000}])
    assert error.value.code == "context_length_exceeded"
    assert "maximum context length is 8192 tokens" in error.value.message


def test_completions(client, model):
    answer = client.completions.create(model=model, prompt="The capital of France is", temperature=0, max_tokens=8)
    assert answer.object == "text_completion" and answer.choices[0].text
    pieces = client.completions.create(
        model=model, prompt="The capital of France is", temperature=0, max_tokens=8, stream=True
    )
    assert "".join(chunk.choices[0].text for chunk in pieces if chunk.choices) == answer.choices[0].text


@pytest.mark.parametrize("prompt", ["one", ["one", "two"], [1, 2, 3], [[1, 2], [3, 4, 5]]])
def test_prompts_of_all_kinds(client, model, prompt):
    answer = client.completions.create(model=model, prompt=prompt, temperature=0, max_tokens=2)
    many = isinstance(prompt, list) and not isinstance(prompt[0], int)
    assert len(answer.choices) == (len(prompt) if many else 1)


@pytest.mark.parametrize("max_tokens", [0, 1])
def test_echo_with_logprobs(client, model, max_tokens):
    answer = client.completions.create(
        model=model, prompt="The quick brown fox", echo=True, logprobs=1, max_tokens=max_tokens, temperature=0
    )
    choice = answer.choices[0]
    assert choice.text.startswith("The quick brown fox")
    logprobs = choice.logprobs
    assert logprobs.token_logprobs[0] is None and all(l <= 0 for l in logprobs.token_logprobs[1:])
    assert "".join(logprobs.tokens) == choice.text
    for offset, token in zip(logprobs.text_offset, logprobs.tokens):
        assert choice.text[offset : offset + len(token)] == token


def test_embeddings(client, model):
    plain = client.embeddings.create(model=model, input=["salt", "the sea"], encoding_format="float")
    packed = client.embeddings.with_raw_response.create(model=model, input="salt", encoding_format="base64")
    text = packed.http_response.json()["data"][0]["embedding"]
    unpacked = struct.unpack(f"<{len(base64.b64decode(text)) // 4}f", base64.b64decode(text))
    assert len(plain.data) == 2 and list(unpacked) == pytest.approx(plain.data[0].embedding, abs=1e-6)
    assert sum(x * x for x in unpacked) == pytest.approx(1, abs=1e-4)
    usual = client.embeddings.create(model=model, input="salt")
    assert usual.data[0].embedding == pytest.approx(plain.data[0].embedding, abs=1e-6)


@pytest.mark.parametrize("given", ["salt", ["salt", "sea"], [5, 6, 7], [[5, 6], [7]]])
def test_embeddings_of_all_kinds(client, model, given):
    answer = client.embeddings.create(model=model, input=given, dimensions=64)
    assert all(len(item.embedding) == 64 for item in answer.data)
    assert answer.usage.prompt_tokens > 0


def test_models(client, model):
    listed = client.models.list()
    assert model in [known.id for known in listed.data]
    shown = client.models.retrieve(model)
    assert shown.id == model and shown.max_model_len == 8192


def test_responses(client, model):
    answer = client.responses.create(
        model=model, instructions="Be brief.", input="What is the capital of France?", temperature=0
    )
    assert "Paris" in answer.output_text and answer.status == "completed"
    assert answer.usage.input_tokens > 0 and answer.usage.total_tokens > answer.usage.output_tokens


def test_responses_in_pieces(client, model):
    events = list(
        client.responses.create(
            model=model, input=[{"role": "user", "content": "Say hello."}], temperature=0, stream=True
        )
    )
    assert [event.sequence_number for event in events] == list(range(len(events)))
    kinds = [event.type for event in events]
    assert kinds[:4] == [
        "response.created",
        "response.in_progress",
        "response.output_item.added",
        "response.content_part.added",
    ]
    assert kinds[-4:] == [
        "response.output_text.done",
        "response.content_part.done",
        "response.output_item.done",
        "response.completed",
    ]
    text = "".join(event.delta for event in events if event.type == "response.output_text.delta")
    assert text == events[-1].response.output_text


def test_responses_stop_at_their_limit(client, model):
    answer = client.responses.create(model=model, input="Tell a long story.", max_output_tokens=16)
    assert answer.status == "incomplete" and answer.incomplete_details.reason == "max_output_tokens"


def test_many_at_once(url, model):
    async def all_of_them():
        async with AsyncOpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0) as client:
            ask = lambda n: client.chat.completions.create(
                model=model,
                messages=[{"role": "user", "content": f"Count from {n}."}],
                temperature=0,
                max_tokens=16,
            )
            alone = await ask(3)
            together = await asyncio.gather(*[ask(n % 8) for n in range(24)])
            assert together[3].choices[0].message.content == alone.choices[0].message.content
            stream = await client.chat.completions.create(model=model, messages=PARIS, stream=True, max_tokens=400)
            async for _ in stream:
                break
            await stream.close()

    asyncio.run(all_of_them())


def test_a_wrong_address_is_a_404(url):
    client = OpenAI(base_url=f"{url}/v2", api_key="none", max_retries=0)
    with pytest.raises(openai.NotFoundError):
        client.models.list()


WEATHER = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "Tells the weather in a city.",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string", "maxLength": 12}, "days": {"type": "integer"}},
            "required": ["city"],
            "additionalProperties": False,
        },
    },
}
FORCED = {"tools": [WEATHER], "tool_choice": {"type": "function", "function": {"name": "weather"}}}


def test_tool_round_trip(client, model):
    answer = chat(client, model, max_tokens=64, **FORCED).choices[0]
    assert answer.finish_reason == "tool_calls" and answer.message.content is None
    (call,) = answer.message.tool_calls
    assert call.id and call.type == "function" and call.function.name == "weather"
    assert isinstance(json.loads(call.function.arguments)["city"], str)
    result = {"role": "tool", "tool_call_id": call.id, "content": "It rains."}
    again = client.chat.completions.create(
        model=model,
        messages=[*PARIS, answer.message, result],
        tools=[WEATHER],
        tool_choice="none",
        max_tokens=16,
    )
    assert again.choices[0].message.tool_calls is None


def test_tool_call_in_pieces_is_the_whole(client, model):
    (whole,) = chat(client, model, max_tokens=64, **FORCED).choices[0].message.tool_calls
    with client.chat.completions.stream(
        model=model, messages=PARIS, temperature=0, max_tokens=64, **FORCED
    ) as stream:
        kinds = {event.type for event in stream}
        final = stream.get_final_completion().choices[0]
    (call,) = final.message.tool_calls
    assert "tool_calls.function.arguments.delta" in kinds and final.finish_reason == "tool_calls"
    assert (call.function.name, call.function.arguments) == ("weather", whole.function.arguments)


def test_function_call_of_a_response(client, model):
    tool = {"type": "function", "strict": False, **WEATHER["function"]}
    forced = {"tools": [tool], "tool_choice": {"type": "function", "name": "weather"}}
    response = client.responses.create(
        model=model, input="Weather in Paris?", max_output_tokens=64, temperature=0, **forced
    )
    (call,) = response.output
    assert call.type == "function_call" and call.name == "weather" and call.status == "completed"
    assert isinstance(json.loads(call.arguments)["city"], str)
