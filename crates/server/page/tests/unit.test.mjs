// The parts of the page that need no browser: what is read from the wire and from files, and Markdown as it streams in.

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";
import { HOSTILE, SAMPLE } from "./texts.mjs";

const { EventReader, eventsOf, titleOf, wireMessages, PARAMETERS, parseParameter, Blocks, blocksOf, highlight, transfer, words, failureOfError, FAMILY_NAMES, Thread } =
  await modules();

/** The page's modules, bundled as the page itself is. */
async function modules() {
  const contents = `
    export { EventReader } from "./chat/sse"; export { eventsOf } from "./chat/api"; export { titleOf, wireMessages } from "./chat/conversation";
    export { PARAMETERS, parseParameter } from "./chat/sampling"; export { Blocks, blocksOf } from "./markdown/blocks";
    export { highlight, FAMILY_NAMES } from "./markdown/highlight"; export * as transfer from "./chat/transfer";
    export { failureOfError } from "./chat/failure"; export { Thread } from "./chat/thread";
    import { en } from "./words/en"; import { zh } from "./words/zh"; export const words = { en, zh };`;
  const resolveDir = fileURLToPath(new URL("../src", import.meta.url));
  const result = await build({ stdin: { contents, resolveDir, loader: "ts" }, bundle: true, write: false, format: "esm", target: "es2022" });
  return import(`data:text/javascript;base64,${Buffer.from(result.outputFiles[0].contents).toString("base64")}`);
}

test("events are the same however the stream is cut", () => {
  const check = (stream, expect) => {
    const cuts = [1, 2, 3, 7, stream.length];
    for (const size of cuts) {
      const reader = new EventReader();
      const events = [];
      for (let at = 0; at < stream.length; at += size) events.push(...reader.push(stream.slice(at, at + size)));
      assert.deepEqual(events, expect, `${JSON.stringify(stream)} in pieces of ${size}`);
    }
  };
  check("data: a\n\n", ["a"]);
  check("data:a\n\ndata:  b\n\n", ["a", " b"]);
  check("data: a\r\n\r\ndata: b\r\r", ["a", "b"]);
  check("data: a\r\ndata: b\r\n\r\n", ["a\nb"]);
  check(": ping\n\n: ping\r\n\r\ndata: a\n\n", ["a"]);
  check("event: x\nid: 1\nretry: 5\ndata: a\n\n", ["a"]);
  check("data\n\ndatabase: 1\n\n\n\n", []);
  check("data: unfinished", []);
});

test("an event without an end is refused before it fills the memory", () => {
  const reader = new EventReader();
  assert.throws(() => {
    for (let piece = 0; piece < 100; piece += 1) reader.push("x".repeat(100_000));
  }, /too long/);
  const lines = new EventReader();
  assert.throws(() => {
    for (let piece = 0; piece < 100; piece += 1) lines.push(`data: ${"x".repeat(100_000)}\n`);
  }, /too long/);
});

test("chunks of a stream are read field by field", () => {
  const check = (body, expect) => assert.deepEqual(eventsOf(JSON.stringify(body)), expect);
  const choice = (delta, finish_reason = null) => ({ choices: [{ index: 0, delta, finish_reason }] });
  check(choice({ role: "assistant", content: "" }), []);
  check(choice({ content: "a" }), [{ type: "text", text: "a" }]);
  check(choice({ reasoning_content: "a", reasoning: "a" }), [{ type: "thinking", text: "a" }]);
  check(choice({ reasoning: "a" }), [{ type: "thinking", text: "a" }]);
  check(choice({ content: null }), []);
  check(choice({}, "stop"), [{ type: "finish", finish: "stop" }]);
  check({ choices: [{ delta: {}, finish_reason: "stop", stop_reason: "repetition" }] }, [
    { type: "finish", finish: "stop", stopReason: "repetition" },
  ]);
  check({ choices: [], usage: { prompt_tokens: 3, completion_tokens: 2, prompt_tokens_details: { cached_tokens: 1 } }, timings: { queue_ms: "x" } }, [
    { type: "figures", figures: { promptTokens: 3, cachedTokens: 1, answerTokens: 2 } },
  ]);
  check({}, []);
  check([], []);
  check(5, []);
  assert.throws(() => eventsOf("{"), { failure: { kind: "broken", said: "" } });
  assert.throws(() => eventsOf('{"error":{"message":"lost"}}'), { failure: { kind: "broken", said: "lost" } });
});

test("failures are told apart", () => {
  const check = (status, error, kind, more = {}) => {
    const { said: _, ...failure } = failureOfError({ error }, status);
    assert.deepEqual(failure, { kind, ...more }, JSON.stringify(error));
  };
  check(401, { message: "m" }, "key");
  check(429, { message: "m" }, "busy");
  check(404, { code: "model_not_found" }, "model");
  check(400, { code: "context_length_exceeded", n_prompt_tokens: 9, n_ctx: 8 }, "context", { promptTokens: 9, contextTokens: 8 });
  check(400, { code: "context_length_exceeded", message: "maximum context length is 8 tokens" }, "context", { contextTokens: 8 });
  check(400, { message: "m" }, "refused");
  check(413, { message: "m" }, "refused");
  check(503, { code: "model_loading", message: "m" }, "loading");
  check(503, { code: "draining" }, "draining");
  check(500, undefined, "server");
  check(502, "x", "server");
});

test("titles come from the first words", () => {
  const check = (text, expect) => assert.equal(titleOf(text), expect);
  check("Why is the sea salty?", "Why is the sea salty?");
  check("\n\n## **Why** `not`?\nmore", "Why not?");
  check("- a   list\n- of things", "a list");
  check("```\ncode()\n```", "code()");
  check("海水为什么是咸的？", "海水为什么是咸的？");
  check("a".repeat(100), `${"a".repeat(60)}…`);
  check("one two three four five six seven eight nine ten eleven twelve, thirteen", "one two three four five six seven eight nine ten eleven…");
  check("🐋".repeat(70), `${"🐋".repeat(60)}…`);
  check("!!!", "!!!");
});

test("messages on the wire alternate", () => {
  const check = (system, path, expect) => {
    const messages = path.map(([role, text]) => ({ role, text }));
    assert.deepEqual(wireMessages(system, messages).map(({ role, content }) => [role, content]), expect);
  };
  check("", [["user", "a"]], [["user", "a"]]);
  check("s", [["user", "a"], ["assistant", "b"], ["user", "c"]], [["system", "s"], ["user", "a"], ["assistant", "b"], ["user", "c"]]);
  check(" \n", [["user", "a"], ["assistant", ""], ["user", "b"]], [["user", "a\n\nb"]]);
});

test("what is typed for a parameter is its value, nothing, or wrong", () => {
  const check = (name, typed, expect) => assert.equal(parseParameter(PARAMETERS.find((one) => one.name === name), typed), expect, `${name} ${typed}`);
  check("temperature", "", undefined);
  check("temperature", " 0.5 ", 0.5);
  check("temperature", "0,5", 0.5);
  check("temperature", ".5", 0.5);
  check("temperature", "0", 0);
  check("temperature", "2.1", null);
  check("temperature", "-1", null);
  check("temperature", "hot", null);
  check("temperature", "NaN", null);
  check("temperature", "1e1", null);
  check("top_p", "0", null);
  check("top_k", "1.5", null);
  check("top_k", "40", 40);
  check("seed", "18446744073709551616", null);
  check("max_completion_tokens", "0", null);
});

/** Tokens as plain data, without what is only about places in the text. */
const bare = (blocks) => JSON.parse(JSON.stringify(blocks.map(({ tokens }) => tokens), (key, value) => (key === "map" ? undefined : value)));

test("Markdown that streams in becomes what it is as a whole", () => {
  const texts = [
    SAMPLE,
    HOSTILE.replace(/^\[ref.*$/gm, ""),
    "a\nb\n===\n\nc\n---\n\n- x\n\n  y\n- z\n\n\n1. p\n2. q\n\n    code\n\ntext\n    still text",
    "```\nopen fence\n\nwith a gap",
    "a\r\n\r\nb\r\n\r\nc\r\n\r\n```\r\nx\r\n```\r\n\r\nd",
    "\n\n\na\n\n\n\nb",
    `${"- ".repeat(70)}deep\n\n**after**\n\n${"> ".repeat(200)}deep\n\n- end`,
    "| a | b |\n|--|--|\n| 1 | 2 |\n\nafter\n\n> quote\nlazy\n\n* * *\n\nend",
  ];
  for (const text of texts) {
    const growing = new Blocks();
    for (let end = 1; end <= text.length; end += text.length > 2000 ? 97 : 1) growing.update(text.slice(0, end));
    assert.deepEqual(bare(growing.update(text)), bare(blocksOf(text)), text.slice(0, 60));
  }
});

test("a block that another has followed is never parsed again", () => {
  const growing = new Blocks();
  const before = growing.update("one\n\ntwo\n\nthr");
  const after = growing.update("one\n\ntwo\n\nthree\n\nfour");
  assert.equal(after.length, 4);
  assert.equal(after[0], before[0]);
  assert.equal(after[1], before[1]);
  assert.notEqual(after[2], before[2]);
  // Another text altogether begins anew.
  assert.equal(growing.update("other").length, 1);
});

test("no address but http, https and mailto becomes a link", () => {
  const check = (text, expect) => {
    const links = blocksOf(text).flatMap(({ tokens }) => tokens.flatMap((token) => token.children ?? []));
    assert.deepEqual(links.flatMap((token) => token.attrGet("href") ?? token.attrGet("src") ?? []), expect, text);
  };
  check("[a](https://x.example/)", ["https://x.example/"]);
  check("[a](HTTP://x.example)", ["HTTP://x.example"]);
  check("<mailto:a@x.example> https://y.example", ["mailto:a@x.example", "https://y.example"]);
  check("[a](javascript:1) [b](&#106;avascript:1) [c](java\tscript:1) [d](data:text/html,x) [e](file:///etc) [f](/v1) [g](//x) [h](blob:x)", []);
  check("![a](data:image/png;base64,AA==) x.example a@x.example", []);
  check("![a](https://x.example/a.png)", ["https://x.example/a.png"]);
});

test("what is nested too deep loses no text", () => {
  const text = `**before**\n\n${"- ".repeat(70)}a\n\n${"> ".repeat(300)}b\n\n${Array.from({ length: 80 }, (_, at) => `${"  ".repeat(at)}- c${at}`).join("\n")}\n\n**after**`;
  const said = JSON.stringify(blocksOf(text).map(({ tokens }) => tokens.map((token) => token.content)));
  for (const piece of ["before", " a", " b", "c0", "c79", "after"]) assert.ok(said.includes(piece), piece);
  assert.equal(blocksOf(text)[0].tokens[1].children[1].type, "strong_open");
  assert.equal(blocksOf(text).at(-1).tokens[1].children[1].type, "strong_open");
});

test("hostile Markdown is parsed in bounded time", () => {
  const hostile = ["[".repeat(50_000), "*a_".repeat(20_000), "> ".repeat(20_000), "`".repeat(30_000), "![](".repeat(10_000), "<".repeat(50_000), "a\n".repeat(30_000), "|a".repeat(20_000), "\\".repeat(50_000), "- ".repeat(20_000), "x".repeat(500_000)];
  for (const text of hostile) {
    const startedAt = performance.now();
    blocksOf(text);
    assert.ok(performance.now() - startedAt < 5000, `${JSON.stringify(text.slice(0, 12))}… took ${performance.now() - startedAt} ms`);
  }
});

test("coloured code is the code", () => {
  const codes = ["fn main() { let s: &'static str = \"a\\\"b\"; } // c", "'''doc\n\"x\" # no\n'''\nx = 'a' # c", "select 'it''s' -- c\nfrom t", "\"open", "/* open", "`${a}`", "<!-- c --><a href=\"x\">", "+a\n-b\n@@ c\n d", "\n\t 1_000.5e-3 0xff", "日本 = \"語\"", "{\"a\": [1, true]}"];
  for (const language of FAMILY_NAMES.concat("diff", "", "unknown")) {
    for (const code of codes) {
      assert.equal(highlight(code, language).map((piece) => piece.text).join(""), code, language);
    }
  }
  const kinds = (code, language) => highlight(code, language).filter((piece) => piece.kind).map((piece) => [piece.kind, piece.text]);
  assert.deepEqual(kinds("let a = f(1); // x", "rust"), [["keyword", "let"], ["name", "f"], ["number", "1"], ["comment", "// x"]]);
  assert.deepEqual(kinds("&'a str 'x'", "rust"), [["string", "'x'"]]);
  assert.deepEqual(kinds("SELECT a FROM t -- x", "sql"), [["keyword", "SELECT"], ["keyword", "FROM"], ["comment", "-- x"]]);
  assert.deepEqual(kinds('{"a": "b"}', "json"), [["name", '"a"'], ["string", '"b"']]);
});

const conversation = { id: "c1", title: "T", createdAt: 1, changedAt: 2, system: "", model: "m", sampling: { temperature: 0.5 }, chosen: { "": "m1", m1: "m3" } };
const message = (id, parent, role, text) => ({ id, conversation: "c1", parent, role, text, at: 1, standing: "done" });
const messages = [message("m1", null, "user", "hi"), message("m2", "m1", "assistant", "one"), message("m3", "m1", "assistant", "two")];

test("an export is read back as it was", () => {
  assert.deepEqual(transfer.parseExport(transfer.exportText([{ conversation, messages }])), [{ conversation, messages }]);
  const reversed = transfer.parseExport(transfer.exportText([{ conversation, messages: [...messages].reverse() }]));
  assert.deepEqual(new Set(reversed[0].messages.map(({ id }) => id)), new Set(["m1", "m2", "m3"]));
});

test("a copy has ids of its own and the same shape", () => {
  const copy = transfer.withNewIds({ conversation, messages });
  const thread = new Thread(copy.conversation, copy.messages);
  assert.deepEqual(thread.path.value.map((id) => thread.message(id).text), ["hi", "two"]);
  assert.ok(copy.messages.every(({ id, conversation }) => !["m1", "m2", "m3"].includes(id) && conversation === copy.conversation.id));
});

test("a file that is no export is refused by name", () => {
  const check = (change, expect) => {
    const file = { format: "kun-conversations", version: 1, conversations: [{ ...conversation, messages: structuredClone(messages) }] };
    change(file);
    assert.throws(() => transfer.parseExport(JSON.stringify(file)), { message: expect });
  };
  check((file) => (file.format = "x"), 'format: "kun-conversations"');
  check((file) => (file.version = 2), "version: 1");
  check((file) => (file.conversations = {}), "conversations");
  check((file) => (file.conversations[0].id = 5), "conversations[0]");
  check((file) => (file.conversations[0].id = "../x"), "conversations[0]");
  check((file) => (file.conversations[0] = null), "conversations[0]");
  check((file) => (file.conversations[0].messages = 1), "conversations[0].messages");
  check((file) => (file.conversations[0].messages[1].role = "system"), "conversations[0].messages[1]");
  check((file) => (file.conversations[0].messages[1].parent = "m3"), "conversations[0].messages[1]");
  check((file) => (file.conversations[0].messages[1].id = "m1"), "conversations[0].messages[1]");
  check((file) => (file.conversations[0].messages[2].text = {}), "conversations[0].messages[2]");
  check((file) => (file.conversations[0].messages[0].parent = "m1"), "conversations[0].messages[0]");
  assert.throws(() => transfer.parseExport("["), /JSON/);
});

test("a tree that goes in circles shows nothing and ends", () => {
  const circle = [message("a", "b", "user", "x"), message("b", "a", "user", "y")];
  assert.deepEqual(new Thread({ ...conversation, chosen: { "": "a", a: "b", b: "a" } }, circle).path.value, []);
});

test("both languages say the same things", () => {
  const shape = (value) => (typeof value === "object" ? Object.entries(value).map(([key, inner]) => [key, shape(inner)]) : typeof value);
  assert.deepEqual(shape(words.zh), shape(words.en));
});

test("both ways to a dark page have the same colours", async () => {
  const css = await readFile(new URL("../src/looks/ground.css", import.meta.url), "utf8");
  const block = (selector) => css.slice(css.indexOf(selector)).match(/\{([^}]*)\}/)[1].replace(/\s+/g, " ");
  assert.equal(block(':root[data-theme="dark"]'), block(":root:not([data-theme])"));
});
