// A server that says what a test wants to hear, in Kun's words on the wire. What it does is decided by the last
// message: its first word is looked up in `SCRIPTS`, and without a script the answer repeats the message.
//
// `node tests/mock.mjs` serves the page on port 8090, to look at it without a model.

import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { HOSTILE, LONG, SAMPLE } from "./texts.mjs";

const DIST = new URL("../dist/", import.meta.url);
const CSP =
  "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; " +
  "base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
const FILES = {
  "/": ["index.html", "text/html; charset=utf-8"],
  "/page.js": ["page.js", "text/javascript; charset=utf-8"],
  "/page.css": ["page.css", "text/css; charset=utf-8"],
  "/icon.svg": ["icon.svg", "image/svg+xml"],
};

/** Starts a server on a free port. `key`, if it is set, has to come with each request to the API. */
export async function startMock({ key = "", port = 0, models = true } = {}) {
  const mock = { requests: [], key, models, seen: new Map() };
  const server = createServer((request, response) => {
    answer(mock, request, response).catch(() => response.destroy());
  });
  await new Promise((resolve) => server.listen(port, "127.0.0.1", resolve));
  mock.url = `http://127.0.0.1:${server.address().port}/`;
  mock.close = () => {
    server.closeAllConnections();
    server.close();
  };
  return mock;
}

async function answer(mock, request, response) {
  const file = FILES[request.url];
  if (file !== undefined) {
    response.writeHead(200, { "content-type": file[1], "content-security-policy": CSP, "x-content-type-options": "nosniff" });
    return response.end(await readFile(new URL(file[0], DIST)));
  }
  if (mock.key !== "" && request.headers.authorization !== `Bearer ${mock.key}`) {
    return refuse(response, 401, { message: "no API key", code: "invalid_api_key" });
  }
  if (request.url === "/v1/models") return listModels(mock, response);
  if (request.url === "/v1/chat/completions") return chat(mock, JSON.parse(await bodyOf(request)), response);
  return refuse(response, 404, { message: `no route ${request.url}`, code: null });
}

function listModels(mock, response) {
  if (!mock.models) return refuse(response, 503, { message: "loading tiny:1m", code: "model_loading" });
  const model = (id, context) => ({ id, object: "model", created: 1, owned_by: "kun", max_model_len: context, context_length: context });
  const data = [{ ...model("tiny:1m", 8192), defaults: { temperature: 0.7 } }, model("other:2m", 2048)];
  response.writeHead(200, { "content-type": "application/json" });
  response.end(JSON.stringify({ object: "list", data }));
}

async function bodyOf(request) {
  const pieces = [];
  for await (const piece of request) pieces.push(piece);
  return Buffer.concat(pieces).toString();
}

function refuse(response, status, { message, code, ...more }, headers = {}) {
  response.writeHead(status, { "content-type": "application/json", ...headers });
  response.end(JSON.stringify({ error: { message, type: "invalid_request_error", param: null, code, ...more } }));
}

async function chat(mock, body, response) {
  mock.requests.push(body);
  const said = body.messages.at(-1).content;
  const name = /^[a-z]*/.exec(said)[0];
  const times = (mock.seen.get(said) ?? 0) + 1;
  mock.seen.set(said, times);
  const stream = new Stream(body, response);
  const script = Object.hasOwn(SCRIPTS, name) ? SCRIPTS[name] : echo;
  await script(stream, { said, times, body, response });
}

function echo(stream, { said, times, body }) {
  return stream.whole(`You said “${said}”, and this is answer ${times} after ${body.messages.length} messages.`);
}

const SCRIPTS = {
  sample: (stream) => stream.whole(SAMPLE, { everyMs: 0 }),
  hostile: (stream) => stream.whole(HOSTILE),
  long: (stream) => stream.whole(LONG, { everyMs: 0 }),
  slow: (stream) => stream.whole(Array.from({ length: 600 }, (_, at) => `word${at}`).join(" "), { everyMs: 20 }),
  lines: (stream) => stream.whole(Array.from({ length: 300 }, (_, at) => `Line ${at}.`).join("\n\n"), { everyMs: 8 }),
  bytes: (stream) => stream.bytewise("Grüße, 世界 🐋: it came byte by byte."),
  think: (stream) => stream.thinking("First I think about it.", "Then I answer."),
  limit: (stream) => stream.whole("It goes on and", { finish: "length" }),
  repeat: (stream) => stream.whole("again again again", { stopReason: "repetition" }),
  break: (stream) => stream.broken("This is as far as it"),
  failing: (stream) => stream.failing("Up to here", "the worker was lost"),
  busy(stream, { times, said, response }) {
    if (times === 1) return refuse(response, 429, { message: "the queue is full", code: "queue_full" }, { "retry-after": "2" });
    return stream.whole(`You said “${said}”.`);
  },
  draining: (_, { response }) => refuse(response, 503, { message: "draining", code: "draining" }, { "retry-after": "5" }),
  crash: (_, { response }) => refuse(response, 500, { message: "internal error", code: null }),
  gone: (_, { response }) => response.destroy(),
  html(_, { response }) {
    response.writeHead(200, { "content-type": "text/html" });
    response.end("<h1>a proxy</h1>");
  },
  full: (_, { response }) =>
    refuse(response, 400, {
      message: "this model's maximum context length is 8192 tokens, the prompt has 9000",
      code: "context_length_exceeded",
      n_prompt_tokens: 9000,
      n_ctx: 8192,
    }),
  bad: (_, { response }) => refuse(response, 400, { message: "<b>temperature</b> is 9; it can be 0 to 2", code: null }),
};

/** The events of one answer. */
class Stream {
  constructor(body, response) {
    this.response = response;
    this.head = { id: "chatcmpl-1", object: "chat.completion.chunk", created: 1, model: body.model };
    this.promptTokens = Math.ceil(JSON.stringify(body.messages).length / 4);
    this.tokens = 0;
  }

  async whole(text, { everyMs = 1, finish = "stop", stopReason } = {}) {
    this.begin();
    for (const token of text.match(/\s*\S+\s*/g) ?? []) {
      if (this.response.destroyed) return;
      this.say({ content: token });
      if (everyMs > 0) await sleep(everyMs);
    }
    this.end(finish, stopReason);
  }

  async thinking(thoughts, text) {
    this.begin();
    // Kun gives the thoughts under both of the names that clients know.
    for (const token of thoughts.match(/\s*\S+/g)) {
      this.say({ reasoning_content: token, reasoning: token });
      await sleep(20);
    }
    this.say({ content: text });
    this.end("stop");
  }

  async bytewise(text) {
    this.response.writeHead(200, { "content-type": "text/event-stream" });
    const pieces = [": ping\n\n"];
    const write = (event) => pieces.push(`data: ${JSON.stringify(event)}\r\n\r\n: ping\r\n\r\n`);
    this.write = write;
    this.say({ role: "assistant", content: "" });
    this.say({ content: text });
    write(this.chunk([{ index: 0, delta: {}, finish_reason: "stop" }]));
    pieces.push("data: [DONE]\n\n");
    for (const byte of Buffer.from(pieces.join(""))) {
      this.response.write(Buffer.of(byte));
      await new Promise(setImmediate);
    }
    this.response.end();
  }

  async broken(text) {
    this.begin();
    this.say({ content: text });
    await sleep(100);
    this.response.destroy();
  }

  async failing(text, message) {
    this.begin();
    this.say({ content: text });
    await sleep(50);
    this.write({ error: { message, type: "server_error", param: null, code: null } });
    this.response.end();
  }

  begin() {
    this.response.writeHead(200, { "content-type": "text/event-stream", "cache-control": "no-store" });
    this.response.write(": ping\n\n");
    this.say({ role: "assistant", content: "" });
  }

  say(delta) {
    if (delta.content) this.tokens += 1;
    this.write(this.chunk([{ index: 0, delta, finish_reason: null }]));
  }

  end(finish, stopReason) {
    this.write(this.chunk([{ index: 0, delta: {}, finish_reason: finish, ...(stopReason && { stop_reason: stopReason }) }]));
    const cached = Math.floor(this.promptTokens * 0.8);
    const usage = {
      prompt_tokens: this.promptTokens,
      completion_tokens: this.tokens,
      total_tokens: this.promptTokens + this.tokens,
      prompt_tokens_details: { cached_tokens: cached },
    };
    const timings = { queue_ms: 0.4, prompt_ms: 30, generation_ms: 500, prompt_tokens_per_second: 4000, generation_tokens_per_second: 311.4 };
    this.write({ ...this.chunk([]), usage, timings });
    this.response.end("data: [DONE]\n\n");
  }

  chunk(choices) {
    return { ...this.head, choices };
  }

  write(event) {
    this.response.write(`data: ${JSON.stringify(event)}\n\n`);
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) console.log((await startMock({ port: 8090 })).url);
