"""What answers are: small objects around what the routes of the service tell."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

__all__ = ["Chat", "Completion", "Piece", "Usage"]


@dataclass(frozen=True)
class Usage:
    """Tokens that an answer took; `cached_tokens` of the prompt were not computed anew."""

    prompt_tokens: int
    completion_tokens: int
    cached_tokens: int = 0

    @staticmethod
    def of(told: dict[str, Any]) -> Usage:
        details = told.get("prompt_tokens_details") or {}
        return Usage(
            told["prompt_tokens"], told["completion_tokens"], details.get("cached_tokens") or 0
        )


@dataclass(frozen=True)
class Completion:
    """A prompt's continuation.

    `finish_reason` is `"stop"`, `"length"` or `"repetition"`; `stop_reason` is the stop string or stop token that was
    found, if it was one that the request named. `raw` is all that was told, in the shape of OpenAI's completions. With
    `n` above 1 the others are in `choices`, of which this is the first.
    """

    text: str
    token_ids: list[int]
    finish_reason: str
    usage: Usage
    stop_reason: str | int | None = None
    logprobs: dict[str, Any] | None = None
    choices: list[dict[str, Any]] = field(default_factory=list, repr=False)
    raw: dict[str, Any] = field(default_factory=dict, repr=False)

    @staticmethod
    def of(told: dict[str, Any]) -> Completion:
        first = told["choices"][0]
        return Completion(
            text=first["text"],
            token_ids=first.get("token_ids") or [],
            finish_reason=first["finish_reason"],
            usage=Usage.of(told["usage"]),
            stop_reason=first.get("stop_reason"),
            logprobs=first.get("logprobs"),
            choices=told["choices"],
            raw=told,
        )


@dataclass(frozen=True)
class Chat:
    """A chat's answer.

    `text` is what is said, `reasoning` what was thought before, `tool_calls` what the model wants to call, in OpenAI's
    shape. `message` is the whole of it as a message, to be put behind those that were asked with. `raw` is all that was
    told.
    """

    text: str
    reasoning: str | None
    tool_calls: list[dict[str, Any]]
    finish_reason: str
    usage: Usage
    message: dict[str, Any] = field(repr=False)
    raw: dict[str, Any] = field(repr=False)

    @staticmethod
    def of(told: dict[str, Any]) -> Chat:
        first = told["choices"][0]
        message = first["message"]
        return Chat(
            text=message.get("content") or "",
            reasoning=message.get("reasoning_content"),
            tool_calls=message.get("tool_calls") or [],
            finish_reason=first["finish_reason"],
            usage=Usage.of(told["usage"]),
            message=message,
            raw=told,
        )


@dataclass(frozen=True)
class Piece:
    """More of an answer in a stream. The last one has a `finish_reason`; the usage comes with it or after it."""

    text: str
    reasoning: str | None = None
    tool_calls: list[dict[str, Any]] = field(default_factory=list)
    token_ids: list[int] = field(default_factory=list)
    finish_reason: str | None = None
    usage: Usage | None = None
    raw: dict[str, Any] = field(default_factory=dict, repr=False)

    @staticmethod
    def of(told: dict[str, Any]) -> Piece:
        usage = told.get("usage")
        first = (told.get("choices") or [{}])[0]
        delta = first.get("delta") or {}
        return Piece(
            text=first.get("text") or delta.get("content") or "",
            reasoning=delta.get("reasoning_content"),
            tool_calls=delta.get("tool_calls") or [],
            token_ids=first.get("token_ids") or [],
            finish_reason=first.get("finish_reason"),
            usage=Usage.of(usage) if usage else None,
            raw=told,
        )
