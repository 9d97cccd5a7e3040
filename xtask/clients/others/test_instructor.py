"""instructor: objects of the caller's own classes, by calls and by schemas, whole and as they come."""

from typing import Literal

import instructor
import openai
import pytest
from pydantic import BaseModel, Field


class City(BaseModel):
    name: str = Field(max_length=20)
    continent: Literal["Africa", "America", "Asia", "Australia", "Europe"]
    inhabitants: int = Field(ge=0, le=100_000_000)


ASKED = {
    "response_model": City,
    "messages": [{"role": "user", "content": "Tell me about Paris."}],
    "temperature": 0,
    "max_tokens": 200,
    "max_retries": 0,
}


@pytest.fixture(params=["TOOLS", "TOOLS_STRICT", "JSON_SCHEMA"])
def client(request, url):
    plain = openai.OpenAI(base_url=f"{url}/v1", api_key="none")
    return instructor.from_openai(plain, mode=instructor.Mode[request.param])


def test_an_object_comes_whole(client, model):
    city = client.chat.completions.create(model=model, **ASKED)
    assert isinstance(city, City) and city.name


def test_an_object_grows(client, model):
    parts = list(client.chat.completions.create_partial(model=model, **ASKED))
    names = [part.name for part in parts if part.name]
    assert len(parts) > 3 and names
    assert all(names[-1].startswith(name) for name in names)
    assert City.model_validate(parts[-1].model_dump()).name == names[-1]
