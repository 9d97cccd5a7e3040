"""LiteLLM, which speaks to a server in each of its dialects."""

import litellm
import pytest

PARIS = [{"role": "user", "content": "What is the capital of France?"}]


@pytest.fixture(params=["openai", "hosted_vllm", "anthropic", "ollama_chat"])
def ask(request, url, model):
    base = {"openai": f"{url}/v1", "hosted_vllm": f"{url}/v1", "anthropic": url, "ollama_chat": url}
    return lambda **more: litellm.completion(
        model=f"{request.param}/{model}",
        api_base=base[request.param],
        api_key="none",
        messages=PARIS,
        temperature=0,
        max_tokens=24,
        num_retries=0,
        **more,
    )


def test_answers(ask):
    answer = ask()
    assert "Paris" in answer.choices[0].message.content
    assert answer.usage.completion_tokens > 0


def test_streams(ask):
    chunks = list(ask(stream=True))
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks)
    assert "Paris" in text and chunks[-1].choices[0].finish_reason in ("stop", "length")


def test_embeds(url, model):
    answer = litellm.embedding(
        model=f"openai/{model}", api_base=f"{url}/v1", api_key="none", input=["salt"], encoding_format="float"
    )
    assert len(answer.data[0]["embedding"]) == 576


def test_a_prompt_that_is_too_long_is_known_as_such(url, model):
    with pytest.raises(litellm.ContextWindowExceededError):
        litellm.completion(
            model=f"openai/{model}",
            api_base=f"{url}/v1",
            api_key="none",
            messages=[{"role": "user", "content": "word " * 20000}],
            num_retries=0,
        )
