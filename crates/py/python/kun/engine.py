"""A model in this process."""

from __future__ import annotations

import asyncio
import atexit
import base64
import difflib
import json
import weakref
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

from . import _kun, errors
from .progress import Progress
from .results import Chat, Completion
from .streams import Stream, TokenStream, next_of

if TYPE_CHECKING:
    import numpy

__all__ = ["Engine"]

#: A prompt: a text, or token ids.
Prompt: TypeAlias = "str | Sequence[int]"
#: Messages of a chat as OpenAI has them, or a text that the user says.
Messages: TypeAlias = "str | Sequence[dict[str, Any]]"

COMPLETIONS = "/v1/completions"
CHAT = "/v1/chat/completions"
EMBEDDINGS = "/v1/embeddings"
TEMPLATE = "/apply-template"
#: Texts that one request embeds.
EMBEDDED_AT_ONCE = 32

_open: weakref.WeakSet[Engine] = weakref.WeakSet()


class Engine:
    """A model in this process. It may be used from any thread and from asyncio; requests run together.

    Parameters
    ----------
    model
        A name that `kun models` lists, `hf:OWNER/REPO`, or the path of a `.gguf` file. What has a name is fetched
        unless it is here; `KUN_HOME`, `HF_ENDPOINT`, `HF_TOKEN` and `HF_HUB_OFFLINE` hold as for the binary.
    memory
        Memory for everything, such as `"8GiB"`, `"60%"` or a number of bytes; without it 60 % of what is available.
    threads
        Threads to compute with; without it one for each core.
    context
        Tokens of context; without it what the model was made for, at most 8192.
    sequences
        Answers at a time; without it as many as suit the memory, at most 256.
    queue
        Requests that may wait; beyond it `QueueFull` is raised.
    kv_tokens
        The most tokens that the KV cache has room for.
    prefix_cache
        Keep what was computed of prompts for those that begin alike.
    loop_guard
        `"off"`, `"stop"` or `"recover"`: what is done with an answer that repeats itself.
    progress
        Show the fetching and loading: None to those who look, True, False, or a function of what is done (a text), how
        much is done and how much there is to do.

    Raises
    ------
    RequestError
        A parameter that can't be.
    ModelError
        The model can't be found, fetched, read or run; `OutOfMemory` if there is no memory for it.
    """

    def __init__(
        self,
        model: str = "smollm2:135m",
        *,
        memory: str | int | None = None,
        threads: int | None = None,
        context: int | None = None,
        sequences: int | None = None,
        queue: int | None = None,
        kv_tokens: int | None = None,
        prefix_cache: bool = True,
        loop_guard: str | None = None,
        progress: bool | None | Callable[[str, float, float], Any] = None,
    ) -> None:
        settings = {
            "memory": memory,
            "threads": threads,
            "ctx": context,
            "max-sequences": sequences,
            "max-queue": queue,
            "kv-tokens": kv_tokens,
            "loop-guard": loop_guard,
            "no-prefix-cache": None if prefix_cache else "true",
        }
        given = [(name, str(value)) for name, value in settings.items() if value is not None]
        bars = None if callable(progress) else _Bars(progress)
        try:
            told = bars.set if bars else progress
            self._native = _kun.Native(str(model), given, told)
        finally:
            if bars:
                bars.close()
        self._fields: dict[str, frozenset[str]] = {}
        _open.add(self)

    # Text in, text out.

    def generate(
        self,
        prompts: Sequence[Prompt],
        *,
        progress: bool | None = None,
        on_error: str = "raise",
        **params: Any,
    ) -> list[Completion]:
        """Continues prompts, all of them together, and gives a `Completion` for each, in their order.

        `params` are those of `/v1/completions`: `max_tokens` (16 without it), `temperature`, `top_p`, `seed`, `stop`,
        `json_schema`, … A name that is none is refused. While others fill the queue, it waits. With `on_error="return"` the exception of a prompt that fails
        stands in its place; else the first one is raised and ends the others.
        """
        if isinstance(prompts, str):
            raise TypeError("generate takes a list of prompts: give [prompt]")
        if on_error not in ("raise", "return"):
            raise errors.RequestError('on_error is "raise" or "return"', "on_error")
        params = self._params(COMPLETIONS, {"return_token_ids": True, **params}, "prompt", "stream")
        bodies = [_json({"prompt": _prompt(prompt), **params}) for prompt in prompts]
        of = Completion.of
        return self._all(COMPLETIONS, bodies, of, progress, on_error, "generating")

    async def agenerate(self, prompts: Sequence[Prompt], **params: Any) -> list[Completion]:
        """The same for asyncio. If one prompt fails, its exception is raised and the others are cancelled."""
        if isinstance(prompts, str):
            raise TypeError("agenerate takes a list of prompts: give [prompt]")
        params = self._params(COMPLETIONS, {"return_token_ids": True, **params}, "prompt", "stream")
        places = asyncio.Semaphore(self._at_once())

        async def one(prompt: Prompt) -> Completion:
            async with places:
                return Completion.of(await self._ask(COMPLETIONS, {"prompt": _prompt(prompt), **params}))

        tasks = [asyncio.ensure_future(one(prompt)) for prompt in prompts]
        try:
            return list(await asyncio.gather(*tasks))
        except BaseException:
            for task in tasks:
                task.cancel()
            raise

    def chat(self, messages: Messages, **params: Any) -> Chat:
        """Answers a chat. `params` are those of `/v1/chat/completions`: `max_tokens`, `tools`, `response_format`, …"""
        params = self._params(CHAT, params, "messages", "stream")
        answers = self._all(
            CHAT, [_json({"messages": _messages(messages), **params})], Chat.of, False, "raise", ""
        )
        return answers[0]

    async def achat(self, messages: Messages, **params: Any) -> Chat:
        """The same for asyncio."""
        params = self._params(CHAT, params, "messages", "stream")
        return Chat.of(await self._ask(CHAT, {"messages": _messages(messages), **params}))

    def stream(self, messages_or_prompt: Messages | Prompt, **params: Any) -> Stream:
        """The answer as it comes, for `for` and for `async for`: of a chat if it is a list of messages, else the
        continuation of a text or of token ids. What is wrong with the request is raised by the first step.
        """
        options = {"stream": True, "stream_options": {"include_usage": True}}
        if _is_chat(messages_or_prompt):
            path, asked = CHAT, {"messages": list(messages_or_prompt)}
        else:
            path, asked = COMPLETIONS, {"prompt": _prompt(messages_or_prompt)}
            params = {"return_token_ids": True, **params}
        params = self._params(path, params, "messages", "prompt", "stream", "stream_options")
        return Stream(self._native.post(path, _json({**asked, **options, **params})))

    def embed(self, texts: Sequence[Prompt], **params: Any) -> numpy.ndarray:
        """The vectors of texts, each 1 long: an array of float32 with the shape `[len(texts), dimensions]`."""
        import numpy

        if isinstance(texts, str):
            raise TypeError("embed takes a list of texts: give [text]")
        texts = [_prompt(text) for text in texts]
        params = self._params(EMBEDDINGS, params, "input", "encoding_format")
        params = {"encoding_format": "base64", **params}
        groups = []
        for begin in range(0, len(texts), EMBEDDED_AT_ONCE):
            group = texts[begin : begin + EMBEDDED_AT_ONCE]
            # Texts and token ids do not go together in one request.
            kinds = {isinstance(text, str) for text in group}
            groups += [group] if len(kinds) == 1 else [[text] for text in group]
        bodies = [_json({"input": group, **params}) for group in groups]

        def vectors(told: dict[str, Any]) -> list[numpy.ndarray]:
            told = sorted(told["data"], key=lambda one: one["index"])
            return [numpy.frombuffer(base64.b64decode(one["embedding"]), "<f4") for one in told]

        answers = self._all(EMBEDDINGS, bodies, vectors, False, "raise", "embedding")
        rows = [row for answer in answers for row in answer]
        dimensions = params.get("dimensions") or self.model_info()["embedding"]
        return numpy.stack(rows) if rows else numpy.empty((0, dimensions), "float32")

    # Tokens and templates.

    def tokenize(self, text: str, *, add_special: bool = True, parse_special: bool = True) -> list[int]:
        """The token ids of a text: with the beginning-of-text token where the vocabulary asks for one, unless
        `add_special` is False, and with special tokens in the text read as such, unless `parse_special` is False.
        """
        return self._native.tokenize(text, add_special, parse_special)

    def detokenize(self, token_ids: Sequence[int], *, special: bool = True) -> str:
        """The text of token ids, with or without what special tokens are called."""
        return self._native.detokenize(_ids(token_ids), special)

    def apply_template(self, messages: Messages, **params: Any) -> str:
        """The prompt that the model's chat template makes of messages; `params` are those of `/apply-template`."""
        params = self._params(TEMPLATE, params, "messages")
        body = _json({"messages": _messages(messages), **params})
        return self._all(TEMPLATE, [body], lambda told: told["prompt"], False, "raise", "")[0]

    # Token ids in, token ids out.

    def generate_tokens(self, request: dict[str, Any]) -> TokenStream:
        """Hands token ids to the engine and gives a `TokenStream`, for `for` and for `async for`.

        Keys of the request; all but `token_ids` may be left out or None, and one that is not known is refused:

        - `token_ids`: the prompt;
        - `max_tokens`: without it as many as there is room for; `min_tokens`;
        - `temperature`, `top_p`, `top_k`, `min_p`, `typical_p`: without them what suits the model;
        - `repetition_penalty` (or `repeat_penalty`), `frequency_penalty`, `presence_penalty`, `logit_bias` (a dict from
          token ids to -100 … 100), `seed`;
        - `stop_token_ids`: beside the model's own; `ignore_eos`: without the model's own;
        - `logprobs`, `prompt_logprobs`: how many alternatives to tell beside each token;
        - `json_schema` (a dict, or a text of JSON), `regex`, `grammar`, `choice` (a list of texts): the form that the
          answer must have; at most one of them;
        - `loop_guard`: `"off"`, `"stop"` or `"recover"`; `priority`: lower comes first;
        - `already_generated`: how many tokens at the end of `token_ids` are the beginning of the answer, generated
          elsewhere. They count as generated for penalties, `min_tokens`, the form and the usage, so that the answer goes
          on with the bits that it would have had; `max_tokens` counts what comes after them.

        Raises `RequestError` with `param`, or `QueueFull`.
        """
        request = dict(request)
        for key in ("token_ids", "stop_token_ids"):
            if request.get(key) is not None:
                request[key] = _ids(request[key], key)
        schema = request.get("json_schema")
        if schema is not None and not isinstance(schema, str):
            request["json_schema"] = json.dumps(schema)
        return TokenStream(self._native.submit(request))

    # The engine.

    def stats(self) -> dict[str, Any]:
        """What the engine has counted, such as `running`, `queued`, `pages_used` and `prefix_tokens_hit`."""
        return self._native.stats()

    def model_info(self) -> dict[str, Any]:
        """What the model is and what the engine has room for: `name`, `architecture`, `context_tokens`, `vocabulary`,
        `embedding`, `page_tokens`, `pages`, `sequences`, `bos_id`, `eos_ids`, `chat_template`, `speech` (the
        name of how it writes its thoughts and calls) and more.
        """
        return self._native.model_info()

    def kv_events(self, callback: Callable[[list[dict[str, Any]]], Any]) -> _kun.KvSubscription:
        """Calls `callback`, from a thread of its own, with lists of what changes in the prefix cache, in order.

        An event is a dict whose `type` is `"stored"` (with `hash`, `parent`, which is None for a first page, and
        `token_ids`), `"removed"` (with `hash`) or `"cleared"`. First come all pages that are kept already. It ends with
        `close()` of what is given back, which must be kept until then, or with the engine.
        """
        return self._native.kv_events(callback)

    def close(self) -> None:
        """Ends what still runs and gives the memory back. Whoever waits for an answer is told."""
        self._native.close()

    def __enter__(self) -> Engine:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # How it is done.

    def _all(
        self,
        path: str,
        bodies: list[bytes],
        read: Callable[[dict[str, Any]], Any],
        progress: bool | None,
        on_error: str,
        what: str,
    ) -> list[Any]:
        answers: list[Any] = [None] * len(bodies)
        bar = Progress(what, len(bodies), progress)
        done = 0

        def ended(number: int, status: int, body: bytes) -> None:
            nonlocal done
            if status == 200:
                answers[number] = read(json.loads(body))
            else:
                error = errors.of_answer(status, body)
                if on_error == "raise":
                    raise error
                answers[number] = error
            done += 1
            bar.set(done)

        try:
            # A list is worth waiting for, whoever else fills the queue.
            patient = path in (COMPLETIONS, EMBEDDINGS)
            self._native.post_all(path, bodies, self._at_once(), patient, ended)
        finally:
            bar.close()
        if done < len(bodies):
            raise errors.EngineError("an answer is missing: the engine was closed, or it is a bug")
        return answers

    async def _ask(self, path: str, asked: dict[str, Any]) -> dict[str, Any]:
        native = self._native.post(path, _json(asked))
        status, parts = 0, []
        try:
            status = await next_of(native)
            while True:
                parts.append(await next_of(native))
        except StopAsyncIteration:
            pass
        except asyncio.CancelledError:
            native.cancel()
            raise
        body = b"".join(parts)
        if status != 200:
            raise errors.of_answer(status or 500, body)
        return json.loads(body)

    def _at_once(self) -> int:
        """Requests on their way at a time: enough for the engine to be full, and never more than it takes."""
        info = self.model_info()
        return info["sequences"] + min(info["queue"], 32) // 2

    def _params(self, path: str, params: dict[str, Any], *own: str) -> dict[str, Any]:
        """The parameters that were given, if the route knows each."""
        if path not in self._fields:
            self._fields[path] = _fields(self._native, path)
        known = self._fields[path] - {*own, "model", "user"}
        for name in params:
            if name not in known:
                near = difflib.get_close_matches(name, known, 1)
                meant = f"; did you mean {near[0]}?" if near else ""
                raise errors.RequestError(f"{name} is no parameter{meant}", name, "unknown_parameter")
        return {name: value for name, value in params.items() if value is not None}


class _Bars:
    """The bars of fetching and loading, one after the other."""

    def __init__(self, wanted: bool | None) -> None:
        self._wanted, self._what, self._bar = wanted, "", None

    def set(self, what: str, done: float, total: float) -> None:
        if what != self._what:
            self.close()
            unit = "it" if what == "loading" else "B"
            self._what, self._bar = what, Progress(what, total, self._wanted, unit)
        self._bar.set(done)

    def close(self) -> None:
        if self._bar:
            self._bar.close()


def _fields(native: _kun.Native, path: str) -> frozenset[str]:
    """The fields of a route's request, by the service's own document."""
    status, body = native.get("/openapi.json")
    if status != 200:
        raise errors.of_answer(status, body)
    document = json.loads(body)
    names: set[str] = {"repetition_penalty"}

    def walk(schema: dict[str, Any]) -> None:
        if "$ref" in schema:
            schema = document["components"]["schemas"][schema["$ref"].rsplit("/", 1)[1]]
        names.update(schema.get("properties", ()))
        for part in (*schema.get("allOf", ()), *schema.get("oneOf", ()), *schema.get("anyOf", ())):
            walk(part)

    walk(document["paths"][path]["post"]["requestBody"]["content"]["application/json"]["schema"])
    return frozenset(names)


def _json(value: dict[str, Any]) -> bytes:
    try:
        return json.dumps(value, ensure_ascii=False, allow_nan=False, default=_plain).encode()
    except (TypeError, ValueError) as error:
        raise errors.RequestError(f"a parameter can't be written as JSON: {error}") from error


def _plain(value: Any) -> Any:
    """NumPy's numbers and arrays as Python's."""
    for method in ("tolist", "item"):
        if hasattr(value, method):
            return getattr(value, method)()
    raise TypeError(f"{type(value).__name__} is no JSON")


def _prompt(prompt: Any) -> str | list[int]:
    return prompt if isinstance(prompt, str) else _ids(prompt, "prompt")


def _ids(token_ids: Iterable[Any], name: str = "token_ids") -> list[int]:
    try:
        return [token.__index__() for token in token_ids]
    except (AttributeError, TypeError):
        raise errors.RequestError(f"{name}: a list of token ids is wanted", name) from None


def _messages(messages: Any) -> list[Any]:
    return [{"role": "user", "content": messages}] if isinstance(messages, str) else list(messages)


def _is_chat(value: Any) -> bool:
    return not isinstance(value, str) and len(value) > 0 and isinstance(value[0], dict)


@atexit.register
def _close_all() -> None:
    # Threads that would come back to an interpreter that has gone.
    for engine in list(_open):
        engine.close()
