"""The exceptions of this package. All are a `kun.Error`."""

from __future__ import annotations

import json
from typing import Any

__all__ = [
    "Cancelled",
    "Closed",
    "EngineError",
    "Error",
    "ModelError",
    "OutOfMemory",
    "QueueFull",
    "RequestError",
    "TimedOut",
]


class Error(Exception):
    """Whatever goes wrong in this package."""


class RequestError(Error, ValueError):
    """A request that can't be: `param` names the field, `code` the kind of mistake, `status` what HTTP calls it."""

    def __init__(
        self, message: str, param: str | None = None, code: str | None = None, status: int = 400
    ) -> None:
        super().__init__(message)
        self.param = param
        self.code = code
        self.status = status


class ModelError(Error):
    """A model that can't be found, fetched, read or run."""


class OutOfMemory(ModelError, MemoryError):
    """A model, with its context, that there is no memory for."""


class QueueFull(Error):
    """So many requests wait that no more are taken: try again later."""


class TimedOut(Error, TimeoutError):
    """The answer did not come before its deadline."""


class Cancelled(Error):
    """The answer was cancelled before its end."""


class Closed(Error):
    """The engine is closed."""


class EngineError(Error):
    """The engine could not go on with an answer. It is a bug, or the model's file is damaged."""


def of_answer(status: int, body: bytes | dict[str, Any]) -> Error:
    """The exception for an answer of the routes that is none."""
    try:
        told = json.loads(body) if isinstance(body, bytes) else body
        told = told["error"]
        message, param, code = told["message"], told.get("param"), told.get("code")
    except (ValueError, KeyError, TypeError):
        message, param, code = f"the engine answered with status {status}", None, None
    if code == "shutting_down":
        return Closed("the engine is closed")
    if status == 429:
        return QueueFull(message)
    if status == 408 or code == "deadline_exceeded":
        return TimedOut(message)
    if status >= 500:
        return EngineError(message)
    return RequestError(message, param, code, status)
