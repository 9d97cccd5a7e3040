"""Answers that come piece by piece, for `for` and for `async for`."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Iterator
from typing import Any

from . import _kun, errors
from .results import Piece, Usage

__all__ = ["Stream", "TokenStream"]


async def next_of(native: Any, seconds: float | None = None) -> Any:
    """The next part of a native stream, or None if none comes within `seconds`; raises StopAsyncIteration after the last.
    Nothing is polled.
    """
    while True:
        part = native.take()
        if part is not None:
            return part
        loop = asyncio.get_running_loop()
        there = loop.create_future()
        native.notify(loop, there)
        if seconds is None:
            await there
            continue
        timer = loop.call_later(seconds, settle, [there], True)
        try:
            if await there:
                return None
        finally:
            timer.cancel()


def settle(futures: list[asyncio.Future[bool]], is_late: bool = False) -> None:
    """Wakes those who wait for them; called in their loop for all whose pieces came together."""
    for future in futures:
        # The one who waited may be gone by then.
        if not future.done():
            future.set_result(is_late)


class TokenStream:
    """An answer of token ids, piece by piece, for `for` and for `async for`. Dropping it cancels the request.

    A piece is a dict with

    - `token_ids`: new tokens, in order; stop tokens are not among them;
    - `rewind`: how many of the tokens so far are taken back before these are added, if any are;
    - `logprobs`: for each of `token_ids` a dict of `token_id`, `logprob` and `top` (pairs of id and log-probability), if
      they were asked for; `prompt_logprobs`: the same without `token_id` for each prompt token but the first, in the
      first piece;
    - `finish_reason`: None, but in the last piece `"stop"`, `"length"`, `"repetition"`, `"cancelled"`, `"timeout"` or
      `"error"`, which `error` explains.

    The last piece also has `usage` (`prompt_tokens`, `completion_tokens`, `cached_tokens`), and `stop_token` if one ended
    the answer. A stream without pieces left is exhausted.
    """

    def __init__(self, native: _kun.TokenStream) -> None:
        self._native = native

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return self

    def __next__(self) -> dict[str, Any]:
        piece = self._native.next()
        if piece is None:
            raise StopIteration
        return piece

    def __aiter__(self) -> AsyncIterator[dict[str, Any]]:
        return self

    def __anext__(self) -> Awaitable[dict[str, Any]]:
        return next_of(self._native)

    def within(self, seconds: float) -> Awaitable[dict[str, Any] | None]:
        """The next piece for asyncio, or None if none comes within `seconds`; raises StopAsyncIteration after the last."""
        return next_of(self._native, seconds)

    def cancel(self) -> None:
        """Ends the answer; the last piece says `"cancelled"`, unless it ended by itself in the meantime."""
        self._native.cancel()


class Stream:
    """An answer of text, as `kun.Piece`s, for `for` and for `async for`. Dropping it cancels the request.

    `text`, `finish_reason` and `usage` are those of what has been read so far.
    """

    def __init__(self, native: _kun.ByteStream) -> None:
        self._native = native
        self._status: int | None = None
        self._rest = b""
        self._ready: list[Piece] = []
        self.text = ""
        self.finish_reason: str | None = None
        self.usage: Usage | None = None

    def __iter__(self) -> Iterator[Piece]:
        return self

    def __next__(self) -> Piece:
        while not self._ready:
            part = self._native.next()
            if part is None:
                self._end()
                raise StopIteration
            self._add(part)
        return self._pop()

    def __aiter__(self) -> AsyncIterator[Piece]:
        return self

    async def __anext__(self) -> Piece:
        while not self._ready:
            try:
                part = await next_of(self._native)
            except StopAsyncIteration:
                self._end()
                raise
            self._add(part)
        return self._pop()

    def cancel(self) -> None:
        """Ends the answer: nothing more comes."""
        self._native.cancel()

    def __enter__(self) -> Stream:
        return self

    def __exit__(self, *_: object) -> None:
        self.cancel()

    def _add(self, part: int | bytes) -> None:
        if isinstance(part, int):
            self._status = part
            return
        self._rest += part
        if self._status != 200:
            return
        *frames, self._rest = self._rest.split(b"\n\n")
        for frame in frames:
            if not frame.startswith(b"data: ") or frame == b"data: [DONE]":
                continue
            told = json.loads(frame[len(b"data: ") :])
            if "error" in told:
                raise errors.of_answer(500, told)
            self._ready.append(Piece.of(told))

    def _end(self) -> None:
        if self._status not in (None, 200):
            status, self._status = self._status, None
            raise errors.of_answer(status, self._rest)

    def _pop(self) -> Piece:
        piece = self._ready.pop(0)
        self.text += piece.text
        self.finish_reason = piece.finish_reason or self.finish_reason
        self.usage = piece.usage or self.usage
        return piece
