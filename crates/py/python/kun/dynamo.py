"""Kun as a worker of NVIDIA Dynamo, and Dynamo's own frontend for one host and more.

    python -m kun.dynamo --model NAME --model-path DIR --discovery file
    python -m kun.dynamo frontend --discovery file --port 8000

A worker takes tokens and gives tokens: the templates, the tokenizer and the stop strings are the frontend's, which also chooses the
worker, by the pages that each has cached, and takes a stream on to another one when its worker is gone.

It is long because all that knows Dynamo's interfaces, as they are in 1.6, is in it. Needed is `ai-dynamo-runtime` alone.
"""

from __future__ import annotations

import argparse
import asyncio
import dataclasses
import logging
import os
import signal
import sys
import threading
import time
import zlib
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from typing import Any

import uvloop
from dynamo._core import backend
from dynamo.llm import EngineType, EntrypointArgs, KvRouterConfig, ModelInput, RouterConfig, RouterMode
from dynamo.llm import make_engine, run_input
from dynamo.llm.exceptions import EngineShutdown, InvalidArgument, Unknown, WorkerUnavailable
from dynamo.runtime import DistributedRuntime
from dynamo.runtime.logging import configure_dynamo_logging

import kun

log = logging.getLogger("kun.dynamo")

SNAPSHOT_SECONDS = 0.1
"""The least time between two reports of the load."""

BEAT_SECONDS = 1
"""How often a stream whose next token takes its time says that its worker is there."""

SILENCE_SECONDS = 5
"""After so long without a word a frontend goes on with a stream elsewhere."""

KEPT_TO_CLEAN_UP_SECONDS = 10
"""What is left of the time that Dynamo gives a shutdown, when all streams are done."""


# What a request asks for.


def lowered(request: Mapping[str, Any], request_id: str) -> dict[str, Any]:
    """The engine's request for a request of Dynamo.

    What Kun cannot do, and what this file does not know, is refused by name unless it is null or says what holds anyway.
    """
    stop = dict(request.get("stop_conditions") or {})
    sampling = dict(request.get("sampling_options") or {})
    output = dict(request.get("output_options") or {})
    routing = dict(request.get("routing") or {})
    form = dict(sampling.pop("guided_decoding", None) or {})
    refuse("", request, REQUEST)
    refuse("routing.", routing, ROUTING)
    refuse("stop_conditions.", stop, STOP)
    refuse("sampling_options.", sampling, SAMPLING)
    refuse("output_options.", output, OUTPUT)
    refuse("sampling_options.guided_decoding.", form, FORM)
    refuse_extra(request.get("extra_args") or {})

    generated = already_generated(request)
    asked: dict[str, Any] = {"token_ids": list(request["token_ids"]), "already_generated": generated}
    asked.update({name: sampling[name] for name in SAMPLING_AS_IS if sampling.get(name) is not None})
    # -1 is "all tokens" here, and 0 in the engine.
    if (top_k := sampling.get("top_k")) is not None:
        asked["top_k"] = max(top_k, 0)
    # Without a seed it is the request's: each attempt at a request has its id, and so a stream goes on as it would have.
    seed = sampling.get("seed")
    asked["seed"] = (zlib.crc32(request_id.encode()) if seed is None else seed) & (2**64 - 1)
    if (max_tokens := stop.get("max_tokens")) is not None:
        asked["max_tokens"] = max_tokens
    # Dynamo counts what is still to come, the engine the whole answer.
    if min_tokens := stop.get("min_tokens"):
        asked["min_tokens"] = min_tokens + generated
    asked["ignore_eos"] = bool(stop.get("ignore_eos"))
    asked["stop_token_ids"] = stop_tokens(request, stop)
    for name in ("logprobs", "prompt_logprobs"):
        if output.get(name) is not None:
            asked[name] = output[name]
    if routing.get("priority"):
        asked["priority"] = routing["priority"]
    given = [(name, form[name]) for name in FORM_NAMES if form.get(name) is not None]
    if len(given) > 1:
        raise InvalidArgument(f"guided_decoding has {given[0][0]} and {given[1][0]}; give one")
    for name, value in given:
        asked[FORM_NAMES[name]] = value
    if given and request.get("require_reasoning"):
        raise InvalidArgument("guided_decoding after thoughts is not supported; turn the thoughts off")
    # A client has the tokens that it was sent, so none can be taken back: an answer that loops ends.
    asked["loop_guard"] = "off" if asked["ignore_eos"] else "stop"
    return asked


def stop_tokens(request: Mapping[str, Any], stop: Mapping[str, Any]) -> list[int]:
    """All tokens that end the answer, besides the model's own."""
    lists = [stop.get("stop_token_ids"), stop.get("stop_token_ids_visible")]
    if not stop.get("ignore_eos"):
        lists += [stop.get("stop_token_ids_hidden"), request.get("eos_token_ids")]
    return sorted({token for tokens in lists for token in tokens or ()})


def anything(value: Any) -> bool:
    """Of no concern to a worker, or taken care of in `lowered`."""
    return True


def only(*values: Any) -> Callable[[Any], bool]:
    """What holds anyway."""
    return lambda value: value in values


SAMPLING_AS_IS = ("temperature", "top_p", "min_p", "repetition_penalty", "frequency_penalty", "presence_penalty")
FORM_NAMES = {"json": "json_schema", "regex": "regex", "choice": "choice", "grammar": "grammar"}

# For each part of a request the settings that are known, and which of their values.
REQUEST = {
    **dict.fromkeys(("model", "token_ids", "stop_conditions", "sampling_options", "output_options"), anything),
    **dict.fromkeys(("eos_token_ids", "mdc_sum", "annotations", "routing", "router_config_override"), anything),
    **dict.fromkeys(("migration_link", "extra_args", "kv_hint", "require_reasoning", "router"), anything),
    **dict.fromkeys(("agent_context", "image_cache_scope", "request_timestamp_ms", "_HEALTH_CHECK"), anything),
}
ROUTING = {
    **dict.fromkeys(("backend_instance_id", "prefill_worker_id", "decode_worker_id", "prefill_dp_rank"), anything),
    **dict.fromkeys(("expected_output_tokens", "priority_jump", "strict_priority", "priority"), anything),
    **dict.fromkeys(("allowed_worker_ids", "routing_constraints"), anything),
    "dp_rank": only(0),
}
STOP = {
    **dict.fromkeys(("max_tokens", "min_tokens", "ignore_eos", "stop_token_ids"), anything),
    **dict.fromkeys(("stop_token_ids_visible", "stop_token_ids_hidden"), anything),
    # The frontend reads the text.
    "stop": anything,
}
SAMPLING = {
    **dict.fromkeys((*SAMPLING_AS_IS, "top_k", "seed"), anything),
    **dict.fromkeys(("n", "best_of"), only(1)),
    "use_beam_search": only(False),
    "length_penalty": only(1.0),
    # The frontend has the text.
    "include_stop_str_in_output": anything,
}
OUTPUT = {
    **dict.fromkeys(("logprobs", "prompt_logprobs"), anything),
    # These are about text too.
    **dict.fromkeys(("skip_special_tokens", "no_stop_trim", "return_tokens_as_token_ids"), anything),
    "formatted_prompt": anything,
}
EXTRA = {
    **dict.fromkeys(("nvext", "sampling_options"), anything),
    # For engines that look for the end of thoughts before they hold an answer to a form.
    **dict.fromkeys(("reasoning_parser_kwargs", "reasoning_ended"), anything),
}
FORM = {
    **dict.fromkeys(FORM_NAMES, anything),
    # A hint for engines that have several.
    "backend": anything,
}


def refuse(where: str, given: Mapping[str, Any], known: Mapping[str, Callable[[Any], bool]]) -> None:
    """Refuses the settings that are not known, or that are not to be had with such a value."""
    for name, value in given.items():
        if value is None or value is False or value == [] or value == {}:
            continue
        if name not in known:
            raise InvalidArgument(f"{where}{name} is not supported")
        if not known[name](value):
            raise InvalidArgument(f"{where}{name} can't be {value!r}")


def refuse_extra(extra: Mapping[str, Any]) -> None:
    """Refuses what the frontend hands on from a client's own fields."""
    refuse("extra_args.", extra, EXTRA)
    refuse("nvext.", extra.get("nvext") or {}, {"extra_fields": anything, "token_in": anything})
    refuse("", extra.get("sampling_options") or {}, {"detokenize": anything})


# How many tokens of a prompt are answer.
#
# When a worker dies, the frontend sends another one the prompt with the tokens that it has already, lowers `max_tokens` and
# `min_tokens` by their number, and does not say how many they are. But it hands on the last `worker_trace_link` that it saw in the
# stream as `migration_link`: 16 + 8 bytes in hexadecimal that mean nothing to it. So each stream begins with a link that has the
# length of the prompt, and its hash, by which the next worker knows it. The trace's id stays as it is where there is one.

NO_TRACE = "6b756e" + "0" * 26


def prompt_link(tokens: list[int], prompt_tokens: int, trace_id: str | None) -> dict[str, str]:
    """The link that says that the first `prompt_tokens` of `tokens` are the prompt."""
    return {"trace_id": trace_id or NO_TRACE, "span_id": f"{hash_of(tokens[:prompt_tokens]):08x}{prompt_tokens:08x}"}


def already_generated(request: Mapping[str, Any]) -> int:
    """How many of the last tokens are the beginning of the answer, from another worker."""
    link, tokens = request.get("migration_link"), request["token_ids"]
    if not link:
        return 0
    span = str(link.get("span_id", ""))
    try:
        hashed, prompt_tokens = int(span[:8], 16), int(span[8:], 16)
    except ValueError:
        hashed, prompt_tokens = 0, 0
    if 0 < prompt_tokens <= len(tokens) and hashed == hash_of(tokens[:prompt_tokens]):
        return len(tokens) - prompt_tokens
    log.warning("a request from another worker does not tell its prompt from its answer; penalties count anew")
    return 0


def hash_of(tokens: Iterable[int]) -> int:
    return zlib.crc32(b"".join(token.to_bytes(4, "little") for token in tokens))


# What a stream gives.


def chunk_of(event: Mapping[str, Any], request: Mapping[str, Any]) -> dict[str, Any]:
    """Dynamo's chunk for an event of the engine's stream."""
    tokens = list(event["token_ids"])
    chunk: dict[str, Any] = {"token_ids": tokens, "index": 0}
    if event.get("logprobs"):
        chunk.update(logprobs_of(event["logprobs"]))
    reason = event.get("finish_reason")
    if reason is None:
        return chunk
    if reason not in FINISH_REASONS:
        raise Unknown(f"the answer ended: {event.get('error') or reason}")
    chunk["finish_reason"] = FINISH_REASONS[reason]
    if reason == "repetition":
        chunk["stop_reason"] = reason
        # It is the beginning of what has its form, as at a limit.
        if (request.get("sampling_options") or {}).get("guided_decoding"):
            chunk["finish_reason"] = "length"
    elif reason == "stop" and (token := event.get("stop_token")) is not None:
        if token in ((request.get("stop_conditions") or {}).get("stop_token_ids_visible") or ()):
            tokens.append(token)
    usage = event.get("usage") or {}
    prompt, completion = usage.get("prompt_tokens", 0), usage.get("completion_tokens", 0)
    chunk["completion_usage"] = {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
        "prompt_tokens_details": {"cached_tokens": usage.get("cached_tokens", 0)},
    }
    return chunk


FINISH_REASONS = {"stop": "stop", "length": "length", "repetition": "stop", "cancelled": "cancelled"}


def logprobs_of(logprobs: list[Mapping[str, Any]]) -> dict[str, Any]:
    """The log probabilities of the chunk's tokens and, where they were asked for, of the likeliest ones."""
    fields: dict[str, Any] = {"log_probs": [one["logprob"] for one in logprobs]}
    if any(one["top"] for one in logprobs):
        fields["top_logprobs"] = [
            [
                {"rank": rank, "token_id": token, "logprob": logprob}
                for rank, (token, logprob) in enumerate(one["top"], 1)
            ]
            for one in logprobs
        ]
    return fields


def prompt_logprobs_of(tokens: list[int], logprobs: list[Mapping[str, Any]]) -> list[dict[str, Any] | None]:
    """The log probabilities of a prompt's tokens; the first has none."""
    places: list[dict[str, Any] | None] = []
    for token, one in zip(tokens[1:], logprobs, strict=True):
        place = {str(other): {"rank": rank, "logprob": value} for rank, (other, value) in enumerate(one["top"], 1)}
        place.setdefault(str(token), {"logprob": one["logprob"]})
        places.append(place)
    return [None, *places]


# The worker.


@dataclasses.dataclass(frozen=True)
class PushSource:
    """A source of KV events that is handed its publisher."""

    on_ready: Callable[[Any], None]
    dp_rank: int = 0


@dataclasses.dataclass(frozen=True)
class ComponentSnapshot:
    """The load, as the router and the metrics take it."""

    kv_used_blocks: int
    kv_total_blocks: int
    gpu_cache_usage: float
    dp_rank: int = 0
    kv_cache_hit_rate: float | None = None


class KunEngine:
    """What Dynamo's worker drives: start, generate, abort and cleanup, and where its pages and its load are told."""

    def __init__(self, args: argparse.Namespace, engine: Any):
        self.args = args
        self.engine: Any = engine
        self.streams: dict[str, Any] = {}
        self.draining = False
        self.stopped = threading.Event()
        self.snapshots: threading.Thread | None = None
        self.subscription: Any = None

    async def start(self, worker_id: int) -> backend.EngineConfig:
        info = self.engine.model_info()
        log.info("worker %x serves %s: %s", worker_id, self.args.served_name, info)
        return backend.EngineConfig(
            model=self.args.model_path,
            served_model_name=self.args.served_name,
            llm=backend.LlmRegistration(
                context_length=info["context_tokens"],
                kv_cache_block_size=info["page_tokens"],
                total_kv_blocks=info["pages"],
                max_num_seqs=info["sequences"],
                max_num_batched_tokens=info["batch_tokens"],
            ),
        )

    async def generate(self, request: dict[str, Any], context: Any) -> AsyncIterator[dict[str, Any]]:
        if self.engine is None or self.draining:
            raise EngineShutdown("this worker is going away")
        asked = lowered(request, context.id())
        tokens = asked["token_ids"]
        link = prompt_link(tokens, len(tokens) - asked["already_generated"], context.trace_id)
        stream = await self.submitted(asked)
        self.streams[context.id()] = stream
        # Where traces are collected, Dynamo puts its own link on the first tokens; the second ones then set it right.
        links = 2
        of_prompt: list[Mapping[str, Any]] = []
        try:
            while True:
                event = await stream.within(BEAT_SECONDS)
                if event is None:
                    yield {"token_ids": [], "index": 0}
                    continue
                of_prompt += event.get("prompt_logprobs", ())
                if event.get("finish_reason") == "cancelled" and self.draining and not context.is_stopped():
                    raise EngineShutdown("this worker is going away")
                chunk = chunk_of(event, request)
                if links and chunk["token_ids"]:
                    links -= 1
                    chunk["worker_trace_link"] = link
                if "finish_reason" not in chunk:
                    yield chunk
                    continue
                if of_prompt:
                    chunk["engine_data"] = {"prompt_logprobs": prompt_logprobs_of(tokens, of_prompt)}
                yield chunk
                return
        finally:
            self.streams.pop(context.id(), None)
            stream.cancel()

    async def submitted(self, asked: dict[str, Any]) -> Any:
        """The stream of a request that the engine has taken."""
        try:
            if any(form in asked for form in FORM_NAMES.values()):
                # It is compiled first, which may take a while.
                return await asyncio.to_thread(self.engine.generate_tokens, asked)
            return self.engine.generate_tokens(asked)
        except kun.RequestError as error:
            raise InvalidArgument(str(error)) from error
        except kun.QueueFull as error:
            # The frontend asks another worker.
            raise WorkerUnavailable(str(error)) from error

    async def abort(self, context: Any) -> None:
        stream = self.streams.get(context.id())
        if stream is not None:
            stream.cancel()

    async def cleanup(self) -> None:
        """Lets the streams end that are there, hands the rest to other workers, and closes the engine.

        Dynamo has taken the worker out of the discovery and waited a while before it comes here, but has not waited for streams.
        """
        if self.engine is None:
            return
        until = time.monotonic() + self.args.drain_seconds
        log.info("%d streams have %g s to end", len(self.streams), self.args.drain_seconds)
        while self.streams and time.monotonic() < until:
            await asyncio.sleep(0.02)
        self.draining = True
        if self.streams:
            log.info("%d streams go on elsewhere", len(self.streams))
        for stream in list(self.streams.values()):
            stream.cancel()
        while self.streams and time.monotonic() < until + KEPT_TO_CLEAN_UP_SECONDS / 2:
            await asyncio.sleep(0.02)
        self.stopped.set()
        if self.snapshots is not None:
            await asyncio.to_thread(self.snapshots.join)
        if self.subscription is not None:
            self.subscription.close()
        engine, self.engine = self.engine, None
        await asyncio.to_thread(engine.close)
        log.info("the engine is closed")

    # What Dynamo asks every engine, and Kun has nothing of.

    async def is_quiescent(self) -> bool | None:
        return None

    async def health_check_payload(self) -> dict[str, Any] | None:
        return None

    def supported_controls(self) -> set[str]:
        return set()

    def supported_updates(self) -> set[str]:
        return set()

    async def on_endpoint_ready(self, endpoint: Any) -> None:
        pass

    # Where pages and load are told.

    async def register_prometheus(self, metrics: Any) -> None:
        """Adds the engine's numbers to what Dynamo shows of the worker."""
        metrics.register_prometheus_expfmt_callback(lambda: exposition(self.engine))

    async def kv_event_sources(self) -> list[PushSource]:
        return [PushSource(on_ready=self.publish_kv_events)]

    def publish_kv_events(self, publisher: Any) -> None:
        """Has each batch of the engine's KV events published, in its order."""
        translated = KvEvents()

        def publish(events: list[dict[str, Any]]) -> None:
            try:
                publisher.publish_batch([translated(event) for event in events])
            except Exception:
                # The router would only guess less well.
                log.exception("KV events were not published")

        self.subscription = self.engine.kv_events(publish)

    def component_metrics_dp_ranks(self) -> list[int]:
        return [0]

    def attach_snapshot_publisher(self, publisher: Any) -> None:
        self.snapshots = threading.Thread(target=self.publish_load, args=(publisher,), name="kun-load", daemon=True)
        self.snapshots.start()

    def publish_load(self, publisher: Any) -> None:
        """Publishes the load whenever it has changed, at most ten times a second."""
        last = None
        while not self.stopped.wait(SNAPSHOT_SECONDS):
            snapshot = snapshot_of(self.engine.stats())
            if snapshot != last:
                publisher.publish(0, snapshot)
                last = snapshot


def exposition(engine: Any) -> str:
    """The engine's numbers as Prometheus reads them."""
    return "".join(f"kun_{name} {value}\n" for name, value in engine.stats().items() if isinstance(value, (int, float)))


class KvEvents:
    """Dynamo's events for the engine's, which also says that it has nothing any more, as Dynamo's publisher cannot."""

    def __init__(self) -> None:
        self.told: dict[int, None] = {}

    def __call__(self, event: Mapping[str, Any]) -> dict[str, Any]:
        if event["type"] == "cleared":
            gone, self.told = list(self.told), {}
            return {"type": "removed", "block_hashes": gone}
        page, parent = signed(event["hash"]), event.get("parent")
        if event["type"] == "removed":
            self.told.pop(page, None)
            return {"type": "removed", "block_hashes": [page]}
        self.told[page] = None
        return {
            "type": "stored",
            "token_ids": event["token_ids"],
            "num_block_tokens": [len(event["token_ids"])],
            "block_hashes": [page],
            "parent_hash": None if parent is None else signed(parent),
        }


def signed(value: int) -> int:
    """The 64 bits as Dynamo's bindings take them."""
    return value - 2**64 if value >= 2**63 else value


def snapshot_of(stats: Mapping[str, Any]) -> ComponentSnapshot:
    used, total = stats["pages_used"], stats["pages_total"]
    asked = stats["prefix_tokens_queried"]
    return ComponentSnapshot(
        kv_used_blocks=used,
        kv_total_blocks=total,
        gpu_cache_usage=used / max(total, 1),
        kv_cache_hit_rate=stats["prefix_tokens_hit"] / asked if asked else None,
    )


# Kun's formats of speech that Dynamo has parsers for: of calls, and of thoughts.
PARSERS = {
    "deepseek": ("deepseek_v3_1", "deepseek_v3_1"),
    "dsml": ("deepseek_v3_2", "deepseek_v3_2"),
    "gemma4": ("gemma4", "gemma4"),
    "glm": ("glm45", "glm45"),
    "granite": (None, "granite"),
    "harmony": ("harmony", "gpt_oss"),
    "hermes": ("hermes", "qwen3"),
    "kimi_k2": ("kimi_k2", "kimi_k2"),
    "kimi_k3": ("kimi_k3", "kimi_k3"),
    "llama": ("llama3_json", None),
    "llama_pythonic": ("pythonic", None),
    "minimax_m2": ("minimax_m2", "minimax_m2"),
    "minimax_m3": ("minimax_m3", "minimax_m3"),
    "mistral": ("mistral", "mistral"),
    "muse": ("muse", "muse"),
    "qwen_coder": ("qwen3_coder", "qwen3"),
}


async def work(args: argparse.Namespace) -> None:
    """Runs a worker until a signal ends it."""
    engine = kun.Engine(
        args.model, memory=args.memory, threads=args.threads, context=args.context, sequences=args.sequences
    )
    calls, thoughts = PARSERS.get(engine.model_info().get("speech"), (None, None))
    config = backend.WorkerConfig(
        namespace=args.namespace,
        component=args.component,
        model_name=args.model_path,
        served_model_name=args.served_name,
        model_input=ModelInput.Tokens,
        tool_call_parser=args.tool_call_parser or calls,
        reasoning_parser=args.reasoning_parser or thoughts,
        runtime=backend.RuntimeConfig(discovery_backend=args.discovery, request_plane="tcp", event_plane="zmq"),
    )
    await backend.Worker(KunEngine(args, engine), config, asyncio.get_running_loop()).run()


async def serve(args: argparse.Namespace) -> None:
    """Runs Dynamo's frontend until a signal ends it."""
    runtime = DistributedRuntime(asyncio.get_running_loop(), args.discovery, "tcp", event_plane="zmq")
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, runtime.shutdown)
    mode = RouterMode.KV if args.router == "kv" else RouterMode.RoundRobin
    entry = EntrypointArgs(
        EngineType.Dynamic,
        http_host=args.host,
        http_port=args.port,
        namespace=args.namespace,
        router_config=RouterConfig(mode, KvRouterConfig() if mode == RouterMode.KV else None),
        migration_limit=args.migrations,
    )
    try:
        await run_input(runtime, "http", await make_engine(runtime, entry))
    except asyncio.CancelledError:
        pass


def arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m kun.dynamo", description="A worker of NVIDIA Dynamo.")
    parser.add_argument("--model", required=True, help="a name of the catalogue, or a file")
    parser.add_argument("--model-path", required=True, help="the folder with tokenizer.json, the same on all hosts")
    parser.add_argument("--served-name", help="the name that clients give; the model's by default")
    parser.add_argument("--memory", help="as of `kun serve`")
    parser.add_argument("--threads", type=int, help="as of `kun serve`")
    parser.add_argument("--context", type=int, help="as of `kun serve`")
    parser.add_argument("--sequences", type=int, help="requests that are worked on at a time")
    parser.add_argument("--component", default="backend")
    parser.add_argument("--tool-call-parser", help="Dynamo's parser of calls; the model's by default")
    parser.add_argument("--reasoning-parser", help="Dynamo's parser of thoughts; the model's by default")
    parser.add_argument("--drain-seconds", type=float, default=25, help="how long streams may go on after SIGTERM")
    parser.add_argument(
        "--system-port", type=int, default=0, help="where health and metrics are, below 32768; 0 is any that is free"
    )
    add_common(parser)
    return parser


def frontend_arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m kun.dynamo frontend", description="NVIDIA Dynamo's frontend.")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8000)
    parser.add_argument("--router", choices=("kv", "round-robin"), default="kv")
    parser.add_argument(
        "--silence-seconds",
        type=int,
        default=SILENCE_SECONDS,
        help="after so long without a word from a stream's worker another one goes on with it",
    )
    parser.add_argument("--migrations", type=int, default=3, help="how often a stream may go on with another worker")
    add_common(parser)
    return parser


def add_common(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--discovery", choices=("file", "etcd", "kubernetes", "mem"), default="file")
    parser.add_argument("--namespace", default="kun", help="workers and frontends of one namespace find each other")
    parser.add_argument(
        "--advertise", metavar="ADDRESS", help="this host's address for the others; 127.0.0.1 without other hosts"
    )


def reach(args: argparse.Namespace) -> None:
    """Sets the address at which the other processes find this one, unless Dynamo's own variables say it."""
    address = args.advertise or ("127.0.0.1" if args.discovery in ("file", "mem") else None)
    if address is not None:
        for plane in ("TCP_RPC", "TCP_RESPONSE_STREAM", "EVENT_PLANE", "SYSTEM"):
            os.environ.setdefault(f"DYN_{plane}_HOST", address)


def main(argv: list[str] | None = None) -> None:
    argv = sys.argv[1:] if argv is None else argv
    if argv[:1] == ["frontend"]:
        args = frontend_arguments().parse_args(argv[1:])
        # Of a host that is cut off nothing else tells.
        os.environ.setdefault("DYN_HTTP_BACKEND_STREAM_TIMEOUT_SECS", str(args.silence_seconds))
        run = serve(args)
    else:
        args = arguments().parse_args(argv)
        args.served_name = args.served_name or args.model
        # Dynamo would end a shutdown that takes longer by force.
        seconds = str(int(args.drain_seconds) + KEPT_TO_CLEAN_UP_SECONDS)
        os.environ.setdefault("DYN_WORKER_GRACEFUL_SHUTDOWN_TIMEOUT", seconds)
        # From there the frontends have the tokenizer too.
        os.environ.setdefault("DYN_SYSTEM_PORT", str(args.system_port))
        run = work(args)
    reach(args)
    configure_dynamo_logging()
    uvloop.run(run)


if __name__ == "__main__":
    main()
