"""The official Anthropic client for Python, unchanged but for its address."""

import anthropic
import pytest
from anthropic import Anthropic

PARIS = [{"role": "user", "content": "What is the capital of France?"}]
# The API knows sampling parameters that this client no longer names.
GREEDY = {"temperature": 0}


@pytest.fixture(scope="module")
def client(url):
    return Anthropic(base_url=url, api_key="none", max_retries=0)


def test_message(client, model):
    answer = client.messages.create(model=model, max_tokens=32, messages=PARIS, extra_body=GREEDY)
    assert answer.type == "message" and answer.role == "assistant"
    assert "Paris" in answer.content[0].text and answer.stop_reason == "end_turn"
    assert answer.usage.output_tokens > 0


def test_message_in_pieces(client, model):
    whole = client.messages.create(model=model, max_tokens=24, messages=PARIS, extra_body=GREEDY)
    with client.messages.stream(model=model, max_tokens=24, messages=PARIS, extra_body=GREEDY) as stream:
        text = "".join(stream.text_stream)
        final = stream.get_final_message()
    assert text == whole.content[0].text == final.content[0].text
    assert final.stop_reason == whole.stop_reason


def test_events_come_in_order(client, model):
    kinds = [e.type for e in client.messages.create(model=model, max_tokens=8, messages=PARIS, stream=True)]
    kinds = [kind for kind in kinds if kind != "ping"]
    assert kinds[:2] == ["message_start", "content_block_start"]
    assert kinds[-3:] == ["content_block_stop", "message_delta", "message_stop"]
    assert set(kinds[2:-3]) == {"content_block_delta"}


@pytest.mark.parametrize(
    "more",
    [
        {"system": "Be brief."},
        {"system": [{"type": "text", "text": "Be brief.", "cache_control": {"type": "ephemeral"}}]},
        {"extra_body": {"top_k": 5}},
        {"extra_body": {"top_p": 0.5}},
        {"extra_body": {"temperature": 1.0}},
        {"metadata": {"user_id": "somebody"}},
    ],
)
def test_parameters(client, model, more):
    answer = client.messages.create(model=model, max_tokens=8, messages=PARIS, **more)
    assert answer.content[0].type == "text"


def test_content_in_blocks(client, model):
    blocks = [{"type": "text", "text": "What is the capital"}, {"type": "text", "text": " of France?"}]
    answer = client.messages.create(
        model=model, max_tokens=32, extra_body=GREEDY, messages=[{"role": "user", "content": blocks}]
    )
    assert answer.content[0].text


def test_stop_sequence(client, model):
    answer = client.messages.create(
        model=model, max_tokens=32, extra_body=GREEDY, messages=PARIS, stop_sequences=["Paris"]
    )
    assert answer.stop_reason == "stop_sequence" and answer.stop_sequence == "Paris"


def test_max_tokens(client, model):
    answer = client.messages.create(model=model, max_tokens=2, extra_body=GREEDY, messages=PARIS)
    assert answer.stop_reason == "max_tokens" and answer.usage.output_tokens == 2


def test_count_tokens(client, model):
    count = client.messages.count_tokens(model=model, messages=PARIS, system="Be brief.")
    answer = client.messages.create(model=model, max_tokens=1, messages=PARIS, system="Be brief.")
    usage = answer.usage
    assert count.input_tokens == usage.input_tokens + (usage.cache_read_input_tokens or 0)


def test_models(client, model):
    assert model in [known.id for known in client.models.list()]


@pytest.mark.parametrize(
    "wrong",
    [{"extra_body": {"temperature": -1}}, {"max_tokens": -1}, {"extra_body": {"top_k": -5}}, {"messages": []}],
)
def test_what_is_wrong_is_said(client, model, wrong):
    with pytest.raises(anthropic.BadRequestError) as error:
        client.messages.create(**{"model": model, "max_tokens": 8, "messages": PARIS, **wrong})
    assert error.value.body["type"] == "error"
    assert error.value.body["error"]["type"] == "invalid_request_error"


def test_unknown_model(client):
    with pytest.raises(anthropic.NotFoundError):
        client.messages.create(model="nobody", max_tokens=8, messages=PARIS)


WEATHER = {
    "name": "weather",
    "description": "Tells the weather in a city.",
    "input_schema": {
        "type": "object",
        "properties": {"city": {"type": "string", "maxLength": 12}},
        "required": ["city"],
        "additionalProperties": False,
    },
}
FORCED = {"tools": [WEATHER], "tool_choice": {"type": "tool", "name": "weather"}, "extra_body": GREEDY}


def test_tool_round_trip(client, model):
    answer = client.messages.create(model=model, max_tokens=64, messages=PARIS, **FORCED)
    assert answer.stop_reason == "tool_use"
    (call,) = answer.content
    assert call.type == "tool_use" and call.name == "weather" and isinstance(call.input["city"], str)
    result = {"type": "tool_result", "tool_use_id": call.id, "content": "It rains."}
    messages = [
        *PARIS,
        {"role": "assistant", "content": answer.content},
        {"role": "user", "content": [result]},
    ]
    again = client.messages.create(model=model, max_tokens=16, messages=messages, tools=[WEATHER])
    assert again.content


def test_tool_use_in_pieces_is_the_whole(client, model):
    (whole,) = client.messages.create(model=model, max_tokens=64, messages=PARIS, **FORCED).content
    with client.messages.stream(model=model, max_tokens=64, messages=PARIS, **FORCED) as stream:
        kinds = {event.type for event in stream}
        final = stream.get_final_message()
    (call,) = final.content
    assert "input_json" in kinds and final.stop_reason == "tool_use"
    assert (call.name, call.input) == ("weather", whole.input)
