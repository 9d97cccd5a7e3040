"""The life of a batch with the official OpenAI client: sent, created, awaited, cancelled, fetched, deleted."""

import io
import json
import time

import openai
import pytest
from openai import OpenAI


@pytest.fixture(scope="module")
def client(url):
    return OpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0)


def requests(model, count, max_tokens=8, **more):
    for number in range(count):
        messages = [{"role": "user", "content": f"What is {number} plus one?"}]
        body = {"model": model, "messages": messages, "temperature": 0, "max_tokens": max_tokens, **more}
        yield {"custom_id": f"request-{number}", "method": "POST", "url": "/v1/chat/completions", "body": body}


def send(client, lines):
    content = "\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines)
    return client.files.create(file=("requests.jsonl", io.BytesIO(content.encode())), purpose="batch")


def create(client, file, **more):
    return client.batches.create(
        input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h", **more
    )


def wait(client, batch, *states):
    ended = time.monotonic() + 120
    while time.monotonic() < ended:
        batch = client.batches.retrieve(batch.id)
        if batch.status in states:
            return batch
        time.sleep(0.05)
    raise AssertionError(f"it stays {batch.status}")


def lines(client, file_id):
    return [json.loads(line) for line in client.files.content(file_id).text.splitlines()]


def test_a_batch_from_its_file_to_its_answers(client, model):
    file = send(client, requests(model, 6))
    assert (file.object, file.purpose, file.filename) == ("file", "batch", "requests.jsonl")
    assert client.files.retrieve(file.id).bytes == file.bytes
    batch = create(client, file, metadata={"project": "sums"})
    assert batch.object == "batch" and batch.status == "validating" and batch.metadata == {"project": "sums"}
    batch = wait(client, batch, "completed", "failed")
    assert batch.status == "completed" and batch.errors is None and batch.error_file_id is None
    counts = batch.request_counts
    assert (counts.total, counts.completed, counts.failed) == (6, 6, 0)
    answers = {line["custom_id"]: line for line in lines(client, batch.output_file_id)}
    assert sorted(answers) == [f"request-{number}" for number in range(6)]
    for number, request in enumerate(requests(model, 6)):
        body = answers[f"request-{number}"]["response"]["body"]
        direct = client.chat.completions.create(**request["body"])
        assert body["choices"][0]["message"]["content"] == direct.choices[0].message.content
    assert batch.id in [known.id for known in client.batches.list()]
    assert {file.id, batch.output_file_id} <= {known.id for known in client.files.list()}
    assert client.files.delete(file.id).deleted
    with pytest.raises(openai.NotFoundError):
        client.files.retrieve(file.id)


def test_a_line_that_is_wrong_leaves_the_others_alone(client, model):
    good, bad = list(requests(model, 1)), list(requests("no-such-model", 2))[1:]
    batch = wait(client, create(client, send(client, [*good, "nonsense", *bad])), "completed", "failed")
    assert batch.status == "completed"
    counts = batch.request_counts
    assert (counts.total, counts.completed, counts.failed) == (3, 1, 2)
    assert [error.line for error in batch.errors.data] == [2]
    failed = {line["custom_id"]: line for line in lines(client, batch.error_file_id)}
    assert failed["request-1"]["response"]["status_code"] == 404
    assert failed[None]["error"]["line"] == 2


def test_a_file_without_requests_is_a_failed_batch(client):
    batch = wait(client, create(client, send(client, ["{}", "[]"])), "completed", "failed")
    assert batch.status == "failed" and [error.line for error in batch.errors.data] == [1, 2]


def test_a_cancelled_batch_keeps_its_answers(client, model):
    lines_ = requests(model, 200, max_tokens=200, ignore_eos=True)
    batch = create(client, send(client, lines_))
    wait(client, batch, "in_progress")
    assert client.batches.cancel(batch.id).status == "cancelling"
    batch = wait(client, batch, "cancelled")
    assert batch.request_counts.completed < 200 and batch.cancelled_at >= batch.cancelling_at
    with pytest.raises(openai.BadRequestError):
        client.batches.cancel(batch.id)


def test_what_is_no_batch_is_refused(client):
    with pytest.raises(openai.BadRequestError) as error:
        client.files.create(file=io.BytesIO(b"x"), purpose="fine-tune")
    assert error.value.param == "purpose"
    with pytest.raises(openai.NotFoundError):
        client.batches.create(
            input_file_id="file-none", endpoint="/v1/chat/completions", completion_window="24h"
        )
