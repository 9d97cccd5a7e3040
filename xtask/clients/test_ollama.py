"""The official Ollama client for Python, unchanged but for its address."""

import ollama
import pytest
from ollama import Client

PARIS = [{"role": "user", "content": "What is the capital of France?"}]
GREEDY = {"temperature": 0, "num_predict": 24}


@pytest.fixture(scope="module")
def client(url):
    return Client(host=url)


def test_chat(client, model):
    answer = client.chat(model=model, messages=PARIS, options=GREEDY)
    assert "Paris" in answer.message.content and answer.done
    assert answer.eval_count > 0 and answer.prompt_eval_count > 0 and answer.total_duration > 0


def test_chat_in_pieces(client, model):
    whole = client.chat(model=model, messages=PARIS, options=GREEDY).message.content
    pieces = list(client.chat(model=model, messages=PARIS, options=GREEDY, stream=True))
    assert "".join(piece.message.content for piece in pieces) == whole
    assert pieces[-1].done and not any(piece.done for piece in pieces[:-1])


def test_generate(client, model):
    answer = client.generate(model=model, prompt="What is the capital of France?", options=GREEDY)
    assert answer.response and answer.done_reason in ("stop", "length")
    raw = client.generate(model=model, prompt="One two three", raw=True, options=GREEDY)
    assert raw.response != answer.response


def test_generate_in_pieces(client, model):
    ask = lambda stream: client.generate(
        model=model, prompt="Say hello.", system="Be brief.", options=GREEDY, stream=stream
    )
    assert "".join(piece.response for piece in ask(True)) == ask(False).response


@pytest.mark.parametrize(
    "options",
    [
        {"top_k": 3},
        {"top_p": 0.4},
        {"min_p": 0.2},
        {"repeat_penalty": 1.2},
        {"seed": 7},
        {"stop": ["Paris"]},
        {"num_ctx": 2048},
        {"presence_penalty": 0.5},
    ],
)
def test_options(client, model, options):
    answer = client.chat(model=model, messages=PARIS, options={"num_predict": 8, **options})
    assert answer.done


def test_list_show_and_ps(client, model):
    assert model in [known.model for known in client.list().models]
    shown = client.show(model)
    assert shown.details.family == "llama" and shown.template and "completion" in shown.capabilities
    assert model in [known.model for known in client.ps().models]


def test_embed(client, model):
    answer = client.embed(model=model, input=["salt", "sea"])
    assert len(answer.embeddings) == 2 and len(answer.embeddings[0]) == 576


def test_unknown_model(client):
    with pytest.raises(ollama.ResponseError) as error:
        client.chat(model="nobody", messages=PARIS)
    assert error.value.status_code == 404


def test_what_is_wrong_is_said(client, model):
    with pytest.raises(ollama.ResponseError) as error:
        client.chat(model=model, messages=PARIS, options={"temperature": -1})
    assert error.value.status_code == 400 and "temperature" in error.value.error


WEATHER = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "Tells the weather in a city.",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}


def test_tools_are_offered_and_a_history_has_calls(client, model):
    """The API has no way to force a call, so what comes is an answer either way."""
    called = {"function": {"name": "weather", "arguments": {"city": "Paris"}}}
    history = [
        *PARIS,
        {"role": "assistant", "content": "", "tool_calls": [called]},
        {"role": "tool", "tool_name": "weather", "content": "It rains."},
    ]
    for messages in (PARIS, history):
        for answer in (
            client.chat(model=model, messages=messages, tools=[WEATHER], options=GREEDY),
            *client.chat(model=model, messages=messages, tools=[WEATHER], options=GREEDY, stream=True),
        ):
            for call in answer.message.tool_calls or []:
                assert call.function.name == "weather" and "city" in call.function.arguments
