// The two routes of the server that the page uses, and how their answers are read.
//
// Everything that arrives is taken as unknown and looked at field by field: another version of the server may send
// more or less. Paths are relative, so the page also works below a prefix of a proxy.

import type { Figures, WireMessage } from "./conversation";
import { count, type Failure, failureOf, failureOfError, record, RequestFailed } from "./failure";
import { type Sampling, samplingOf } from "./sampling";
import { EventReader } from "./sse";

export interface Model {
  id: string;
  contextTokens?: number;
  /** The model's own sampling parameters, as far as the server tells. */
  defaults: Sampling;
}

export interface ChatRequest {
  model: string;
  messages: WireMessage[];
  sampling: Sampling;
}

/** What a stream says, in the order in which it says it. */
export type StreamEvent =
  | { type: "model"; model: string }
  | { type: "text"; text: string }
  | { type: "thinking"; text: string }
  | { type: "finish"; finish: string; stopReason?: string }
  | { type: "figures"; figures: Figures };

/** The server sends a comment every 15 s while it computes; without one for so long it is gone. */
const SILENCE_MS_MAX = 90_000;
const MODELS_MS_MAX = 20_000;
const MODELS_MAX = 1000;

export async function fetchModels(key: string): Promise<Model[]> {
  const response = await request("v1/models", key, { signal: AbortSignal.timeout(MODELS_MS_MAX) });
  const body = record(await response.json().catch(() => undefined));
  const rows = Array.isArray(body.data) ? body.data.slice(0, MODELS_MAX) : [];
  return rows.map(modelOf).filter((model) => model.id !== "");
}

function modelOf(row: unknown): Model {
  const { id, context_length, max_model_len, defaults } = record(row);
  const model: Model = { id: typeof id === "string" ? id : "", defaults: samplingOf(record(defaults)) };
  const context = count(context_length) ?? count(max_model_len);
  if (context !== undefined) model.contextTokens = context;
  return model;
}

/** Asks for an answer. Ends when the stream has; throws `RequestFailed`, or the abort's own error. */
export async function* streamChat(chat: ChatRequest, key: string, signal: AbortSignal): AsyncGenerator<StreamEvent> {
  const { model, messages, sampling } = chat;
  const body = JSON.stringify({ model, messages, stream: true, stream_options: { include_usage: true }, ...sampling });
  const headers = { "content-type": "application/json", accept: "text/event-stream" };
  const response = await request("v1/chat/completions", key, { method: "POST", body, headers, signal });
  if (response.body === null || !(response.headers.get("content-type") ?? "").includes("text/event-stream")) {
    throw new RequestFailed({ kind: "broken", said: "" });
  }
  let finished = false;
  for await (const data of dataOf(response.body)) {
    if (data === "[DONE]") return;
    for (const event of eventsOf(data)) {
      finished ||= event.type === "finish";
      yield event;
    }
  }
  // A proxy may swallow [DONE]; only an answer without its finish_reason is known to be cut.
  if (!finished) throw new RequestFailed({ kind: "broken", said: "" });
}

async function request(path: string, key: string, init: RequestInit): Promise<Response> {
  const headers = new Headers(init.headers);
  if (key !== "") headers.set("authorization", `Bearer ${key}`);
  let response: Response;
  try {
    response = await fetch(path, { ...init, headers, cache: "no-store", credentials: "same-origin", redirect: "error" });
  } catch (error) {
    if (init.signal?.aborted === true && !isTimeout(error)) throw error;
    throw new RequestFailed({ kind: isTimeout(error) ? "silent" : "unreachable", said: "" });
  }
  if (!response.ok) throw new RequestFailed(await failureOf(response));
  return response;
}

function isTimeout(error: unknown): boolean {
  return error instanceof DOMException && error.name === "TimeoutError";
}

/** The data of all events of a stream. */
async function* dataOf(body: ReadableStream<Uint8Array>): AsyncGenerator<string> {
  const reader = body.getReader();
  const decoder = new TextDecoder();
  const events = new EventReader();
  try {
    for (;;) {
      const { done, value } = await withinSilence(reader.read());
      yield* events.push(decoder.decode(value, { stream: !done }));
      if (done) return;
    }
  } catch (error) {
    if (error instanceof RequestFailed || (error instanceof DOMException && error.name === "AbortError")) throw error;
    throw new RequestFailed({ kind: "broken", said: "" });
  } finally {
    void reader.cancel().catch(() => undefined);
  }
}

async function withinSilence<T>(read: Promise<T>): Promise<T> {
  let timer = 0;
  const silence = new Promise<never>((_, reject) => {
    timer = window.setTimeout(() => reject(new RequestFailed({ kind: "silent", said: "" })), SILENCE_MS_MAX);
  });
  try {
    return await Promise.race([read, silence]);
  } finally {
    clearTimeout(timer);
  }
}

/** What one event of a stream says. Exported for the tests. */
export function eventsOf(data: string): StreamEvent[] {
  let body: Record<string, unknown>;
  try {
    body = record(JSON.parse(data));
  } catch {
    throw new RequestFailed({ kind: "broken", said: "" });
  }
  if (body.error !== undefined) throw new RequestFailed(errorInStream(body));
  const events: StreamEvent[] = [];
  const choice = record(Array.isArray(body.choices) ? body.choices[0] : undefined);
  const delta = record(choice.delta);
  // The server gives the same thoughts under two names.
  const thinking = delta.reasoning_content ?? delta.reasoning;
  if (typeof thinking === "string" && thinking !== "") events.push({ type: "thinking", text: thinking });
  if (typeof delta.content === "string" && delta.content !== "") events.push({ type: "text", text: delta.content });
  if (typeof choice.finish_reason === "string") {
    const stopReason = choice.stop_reason ?? body.stop_reason;
    const finish = { type: "finish", finish: choice.finish_reason } as const;
    events.push(typeof stopReason === "string" ? { ...finish, stopReason } : finish);
  }
  if (body.usage != null || body.timings != null) events.push({ type: "figures", figures: figuresOf(body) });
  return events;
}

function errorInStream(body: Record<string, unknown>): Failure {
  const failure = failureOfError(body, 500);
  return failure.kind === "server" ? { ...failure, kind: "broken" } : failure;
}

function figuresOf(body: Record<string, unknown>): Figures {
  const usage = record(body.usage);
  const timings = record(body.timings);
  const found = {
    promptTokens: count(usage.prompt_tokens),
    cachedTokens: count(record(usage.prompt_tokens_details).cached_tokens),
    answerTokens: count(usage.completion_tokens),
    tokensPerSecond: count(timings.generation_tokens_per_second),
    promptTokensPerSecond: count(timings.prompt_tokens_per_second),
    queueMs: count(timings.queue_ms),
  };
  return Object.fromEntries(Object.entries(found).filter(([, value]) => value !== undefined));
}
