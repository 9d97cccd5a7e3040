// The official OpenAI client for Node, unchanged but for its address. `cargo xtask test` says where the server is.

import assert from "node:assert/strict";
import { test } from "node:test";
import OpenAI from "openai";

const url = process.env.KUN_TEST_URL;
assert.ok(url, "KUN_TEST_URL names no server: run `cargo xtask test`");
const client = new OpenAI({ baseURL: `${url}/v1`, apiKey: "none", maxRetries: 0 });
const model = "smollm2:135m";
const messages = [{ role: "user", content: "What is the capital of France?" }];
const greedy = { model, messages, temperature: 0, max_tokens: 24 };

test("a chat", async () => {
  const answer = await client.chat.completions.create(greedy);
  assert.match(answer.choices[0].message.content, /Paris/);
  assert.equal(answer.usage.total_tokens, answer.usage.prompt_tokens + answer.usage.completion_tokens);
});

test("a chat in pieces is the whole", async () => {
  const whole = await client.chat.completions.create(greedy);
  let text = "";
  let usage;
  const stream = await client.chat.completions.create({
    ...greedy,
    stream: true,
    stream_options: { include_usage: true },
  });
  for await (const chunk of stream) {
    text += chunk.choices[0]?.delta.content ?? "";
    usage = chunk.usage ?? usage;
  }
  assert.equal(text, whole.choices[0].message.content);
  assert.equal(usage.completion_tokens, whole.usage.completion_tokens);
});

test("the stream helper", async () => {
  const runner = client.chat.completions.stream(greedy);
  let pieces = 0;
  runner.on("content", () => pieces++);
  const content = await runner.finalContent();
  assert.ok(pieces > 1 && content.includes("Paris"));
});

test("a stream that is broken off", async () => {
  const stream = await client.chat.completions.create({ ...greedy, max_tokens: 2000, ignore_eos: true, stream: true });
  for await (const _ of stream) break;
  stream.controller.abort();
});

for (const n of [1, 3]) {
  test(`${n} answers`, async () => {
    const answer = await client.chat.completions.create({ ...greedy, n, temperature: 1, seed: 3 });
    assert.deepEqual(answer.choices.map((choice) => choice.index), [...Array(n).keys()]);
  });
}

for (const [wrong, param] of [
  [{ temperature: 9 }, "temperature"],
  [{ top_logprobs: 3 }, "top_logprobs"],
  [{ max_tokens: -1 }, "max_tokens"],
  [{ messages: [] }, "messages"],
]) {
  test(`what is wrong with ${param} is named`, async () => {
    await assert.rejects(client.chat.completions.create({ ...greedy, ...wrong }), (error) => {
      assert.equal(error.status, 400);
      assert.equal(error.param, param);
      return true;
    });
  });
}

test("an unknown model", async () => {
  await assert.rejects(client.chat.completions.create({ ...greedy, model: "nobody" }), { status: 404 });
});

test("completions", async () => {
  const answer = await client.completions.create({ model, prompt: ["One", "Two"], temperature: 0, max_tokens: 4 });
  assert.equal(answer.choices.length, 2);
});

test("embeddings, which this client asks for in base64", async () => {
  const answer = await client.embeddings.create({ model, input: ["salt", "sea"] });
  assert.equal(answer.data.length, 2);
  const length = Math.hypot(...answer.data[0].embedding);
  assert.ok(Math.abs(length - 1) < 1e-3, `length ${length}`);
});

test("models", async () => {
  const names = [];
  for await (const known of client.models.list()) names.push(known.id);
  assert.ok(names.includes(model));
});

test("responses", async () => {
  const answer = await client.responses.create({ model, input: "What is the capital of France?", temperature: 0 });
  assert.match(answer.output_text, /Paris/);
});

test("responses in pieces", async () => {
  const kinds = [];
  const stream = await client.responses.create({ model, input: "Say hello.", temperature: 0, stream: true });
  for await (const event of stream) kinds.push(event.type);
  assert.equal(kinds[0], "response.created");
  assert.equal(kinds.at(-1), "response.completed");
});
