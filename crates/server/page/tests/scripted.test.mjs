// The page against the scripted server: what goes wrong, what is hostile, what is long, and what is kept.

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { after, before, test } from "node:test";
import { allComplaints, launch, openPage } from "./chromium.mjs";
import { answers, ask, bubbles, chatList, composer, ended, prose, sidewaysScrollers, stopButton, texts } from "./drive.mjs";
import { startMock } from "./mock.mjs";

let browser;
before(async () => {
  browser = await launch();
});
after(() => browser?.close());

/** Runs a test on a fresh server and a fresh page. */
async function onPage(options, run) {
  const mock = await startMock(options.mock);
  const opened = await openPage(browser, mock.url, options);
  try {
    await run(opened.page, mock, opened);
    assert.deepEqual(await allComplaints(opened), []);
  } finally {
    await opened.context.close();
    mock.close();
  }
}

test("what a hostile model says stays text", () =>
  onPage({}, async (page) => {
    await ask(page, "hostile");
    await page.getByText("END-OF-HOSTILE").waitFor();
    const found = await prose(page).evaluate((root) => ({
      hacked: window.hacked,
      forbidden: root.querySelectorAll("script, style, iframe, img, object, embed, form, input, base, meta, link, svg:not(.icon)").length,
      handlers: [...root.querySelectorAll("*")].flatMap((element) => [...element.attributes]).filter(({ name }) => /^on|^style$|^srcdoc$/.test(name)).length,
      links: [...root.querySelectorAll("a")].map((link) => [new URL(link.href).protocol, link.rel, link.target].join(" ")),
    }));
    const { links, ...rest } = found;
    assert.deepEqual(rest, { hacked: undefined, forbidden: 0, handlers: 0 });
    assert.deepEqual([...new Set(links)], ["https: noopener noreferrer nofollow _blank"]);
    assert.deepEqual(await sidewaysScrollers(page), []);
    assert.match(await prose(page).innerText(), /<script>window\.hacked = 1<\/script>/);
  }));

test("a hostile title and a hostile error stay text", () =>
  onPage({ expectRefusals: true }, async (page) => {
    await ask(page, "bad <img src=x onerror=window.hacked=1>");
    await page.getByText("It said: <b>temperature</b> is 9").waitFor();
    assert.deepEqual(await texts(chatList(page)), ["bad <img src=x onerror=window.hacked=1>"]);
    assert.equal(await page.evaluate(() => window.hacked), undefined);
  }));

/** What is asked, what the page says of it, and whether it offers to try again. */
const FAILURES = [
  ["busy", "The server has as much to do as it can take. It said: the queue is full", "Try again (in 2 s)"],
  ["draining", "The server is shutting down and takes no new messages.", "Try again (in 5 s)"],
  ["crash", "Something went wrong in the server. It said: internal error", "Try again"],
  ["gone", "The server can’t be reached.", "Try again"],
  ["html", "The connection broke before the answer was complete.", "Try again"],
  ["full", "It has 9,000 tokens; the model reads 8,192. Start a new chat", undefined],
  ["bad", "The server refused the request. It said: <b>temperature</b> is 9", "Try again"],
  ["break", "The connection broke before the answer was complete. What had arrived is kept.", "Try again"],
  ["failing", "It said: the worker was lost What had arrived is kept.", "Try again"],
];

for (const [name, words, button] of FAILURES) {
  test(`a failure is said in words: ${name}`, () =>
    onPage({ expectRefusals: true }, async (page) => {
      await ask(page, `${name} now`);
      const failure = page.locator(".failure");
      assert.ok((await failure.innerText()).includes(words), await failure.innerText());
      const offered = await texts(page.getByRole("button", { name: /^Try again/ }));
      // A second may have passed.
      assert.ok([button, button?.replace("2", "1").replace("5", "4")].includes(offered[0]), offered[0]);
      // It is still said after a reload.
      await page.reload();
      await failure.waitFor();
      assert.ok((await failure.innerText()).includes(words));
    }));
}

test("a partial answer is kept beside the next one, an empty one is replaced", () =>
  onPage({ expectRefusals: true }, async (page) => {
    await ask(page, "break it");
    assert.deepEqual(await texts(prose(page)), ["This is as far as it"]);
    await page.getByRole("button", { name: "Try again" }).click();
    await page.getByText("2/2").waitFor();
    await ended(page);
    await page.getByRole("button", { name: "New chat" }).click();
    await ask(page, "busy now");
    await page.getByRole("button", { name: "Try again", exact: true }).click();
    await page.getByText("You said “busy now”.").first().waitFor();
    assert.equal(await page.locator(".versions").count(), 0);
    assert.equal(await answers(page).count(), 1);
  }));

test("the key is asked for, kept and sent, and a wrong one is said to be wrong", () =>
  onPage({ mock: { key: "secret" }, expectRefusals: true }, async (page, mock) => {
    const field = page.getByPlaceholder("API key");
    await page.getByText("This server asks for an API key.").waitFor();
    await field.fill("wrong");
    await page.getByRole("button", { name: "Use this key" }).click();
    await page.getByText("The server did not accept this key.").waitFor();
    await field.fill("secret");
    await field.press("Enter");
    await page.getByText("This server asks for an API key.").waitFor({ state: "hidden" });
    await ask(page, "Hello");
    await page.reload();
    await ask(page, "Hello again");
    assert.deepEqual((await texts(bubbles(page))).length, 2);
    // A key that is withdrawn later is asked for where the answer would be.
    mock.key = "another";
    await ask(page, "And now?");
    await page.locator(".failure").getByPlaceholder("API key").fill("another");
    await page.locator(".failure").getByRole("button", { name: "Use this key" }).click();
    await page.getByText("You said “And now?”").first().waitFor();
  }));

test("while the server loads, the page waits for it by itself", () =>
  onPage({ mock: { models: false }, expectRefusals: true }, async (page, mock) => {
    await page.getByText("The server is not ready yet: the model is being loaded. Trying again…").waitFor();
    mock.models = true;
    await page.getByText("The server is not ready yet").waitFor({ state: "hidden" });
    assert.equal(await page.getByRole("combobox", { name: "Model" }).inputValue(), "tiny:1m");
  }));

test("a stream is understood byte by byte", () =>
  onPage({}, async (page) => {
    await ask(page, "bytes");
    assert.deepEqual(await texts(prose(page)), ["Grüße, 世界 🐋: it came byte by byte."]);
  }));

test("thoughts are folded away, and not sent back", () =>
  onPage({}, async (page, mock) => {
    await ask(page, "think first");
    assert.deepEqual(await texts(prose(page)), ["Then I answer."]);
    await page.getByText("Thoughts").click();
    await page.getByText("First I think about it.").waitFor();
    await ask(page, "Go on.");
    assert.deepEqual(mock.requests.at(-1).messages.map(({ content }) => content), ["think first", "Then I answer.", "Go on."]);
  }));

test("an answer that ended early says why", () =>
  onPage({}, async (page, mock) => {
    await ask(page, "limit");
    await page.getByText("The answer reached its limit of 4 tokens.").waitFor();
    await page.getByRole("button", { name: "Answer again with up to 256 tokens" }).click();
    await page.getByText("2/2").waitFor();
    await ended(page);
    assert.equal(mock.requests.at(-1).max_completion_tokens, 256);
    await ask(page, "repeat");
    await page.getByText("The model was repeating itself").waitFor();
  }));

test("the view follows the end until the user scrolls up", () =>
  onPage({}, async (page) => {
    await composer(page).fill("lines");
    await composer(page).press("Enter");
    await page.getByText("Line 60.", { exact: true }).waitFor();
    const scroll = page.locator(".scroll");
    const below = () => scroll.evaluate((box) => box.scrollHeight - box.clientHeight - box.scrollTop);
    assert.ok((await below()) < 120, `${await below()} pixels below`);
    await scroll.hover();
    await page.mouse.wheel(0, -300);
    await page.getByRole("button", { name: "To the end" }).waitFor();
    const top = await scroll.evaluate((box) => box.scrollTop);
    await page.getByText("Line 150.", { exact: true }).waitFor();
    assert.ok(Math.abs((await scroll.evaluate((box) => box.scrollTop)) - top) < 2, "the text stays where it is read");
    await page.getByRole("button", { name: "To the end" }).click();
    await ended(page);
    await page.waitForFunction(() => {
      const box = document.querySelector(".scroll");
      return box.scrollHeight - box.clientHeight - box.scrollTop < 2;
    });
  }));

test("a long answer and a long conversation stay fast", () =>
  onPage({}, async (page) => {
    await page.evaluate(() => {
      window.longTasks = [];
      new PerformanceObserver((list) => window.longTasks.push(...list.getEntries().map((entry) => entry.duration))).observe({ type: "longtask" });
    });
    await ask(page, "long");
    await page.getByText("END-OF-LONG").waitFor();
    // While text streams, only what is new is drawn: a frame never takes as long as drawing it all would.
    await composer(page).fill("slow");
    await composer(page).press("Enter");
    await page.getByText("word30").waitFor();
    await page.evaluate(() => (window.longTasks.length = 0));
    await page.getByText("word80").waitFor();
    const longest = Math.max(0, ...(await page.evaluate(() => window.longTasks)));
    assert.ok(longest < 200, `a task of ${longest} ms`);
    await page.keyboard.press("Escape");
    await ended(page);
  }));

test("of a very long conversation the end is drawn first, and the rest when it is wanted", () =>
  onPage({}, async (page) => {
    const messages = Array.from({ length: 300 }, (_, at) => ({
      id: `m${at}`,
      parent: at === 0 ? null : `m${at - 1}`,
      role: at % 2 === 0 ? "user" : "assistant",
      text: `Message ${at}: **some** words.`,
      at: at + 1,
      standing: "done",
    }));
    const conversation = { id: "long1", title: "A long one", createdAt: 1, changedAt: 2, system: "", model: "", sampling: {}, chosen: {}, messages };
    await importFile(page, { format: "kun-conversations", version: 1, conversations: [conversation] });
    await page.getByText("Imported 1 chat.").first().waitFor();
    await page.keyboard.press("Escape");
    await page.getByRole("button", { name: "A long one", exact: true }).click();
    await page.getByText("Message 299:").waitFor();
    assert.ok((await page.locator(".message").count()) <= 80);
    await page.getByRole("button", { name: /^Show \d+ earlier messages$/ }).press("Enter");
    for (let step = 0; step < 20 && (await page.locator(".message").count()) < 300; step += 1) {
      await page.locator(".scroll").evaluate((box) => box.scrollTo(0, 200));
      await page.waitForTimeout(120);
    }
    assert.equal(await page.locator(".message").count(), 300);
  }));

async function importFile(page, content) {
  await page.getByRole("button", { name: "Settings", exact: true }).click();
  const buffer = Buffer.from(typeof content === "string" ? content : JSON.stringify(content));
  await page.locator('input[type="file"]').setInputFiles({ name: "chats.json", mimeType: "application/json", buffer });
}

test("chats are exported, deleted, and imported as they were", () =>
  onPage({}, async (page) => {
    await ask(page, "Keep this");
    await page.getByRole("button", { name: "Answer again" }).click();
    await page.getByText("2/2").waitFor();
    await ended(page);
    await page.getByRole("button", { name: "Settings", exact: true }).click();
    const saved = page.waitForEvent("download");
    await page.getByRole("button", { name: "Export all" }).click();
    const text = await readFile(await (await saved).path(), "utf8");
    await page.getByRole("button", { name: "Delete all…" }).click();
    await page.getByRole("button", { name: "Delete all chats" }).click();
    await page.waitForFunction(() => document.querySelectorAll(".chat-title").length === 0);
    await page.keyboard.press("Escape");
    await importFile(page, text);
    await page.getByText("Imported 1 chat.").first().waitFor();
    await page.keyboard.press("Escape");
    await importFile(page, text);
    await page.getByText("1 was already here.").first().waitFor();
    await page.keyboard.press("Escape");
    await importFile(page, "{}");
    await page.getByText("Nothing was imported.").first().waitFor();
    await page.keyboard.press("Escape");
    await chatList(page).first().click();
    await page.getByText("2/2").waitFor();
    await page.keyboard.press("Control+.");
    const markdown = page.waitForEvent("download");
    await page.getByRole("button", { name: "Export as Markdown" }).click();
    const download = await markdown;
    assert.equal(download.suggestedFilename(), "Keep this.md");
    assert.match(await readFile(await download.path(), "utf8"), /^# Keep this\n\n## You\n\nKeep this\n\n## Answer\n\nYou said/);
  }));

test("chats are found by what was said in them", () =>
  onPage({}, async (page) => {
    await ask(page, "About whales");
    await page.getByRole("button", { name: "New chat" }).click();
    await ask(page, "About ships");
    await page.getByRole("searchbox", { name: "Search chats" }).fill("said “about WH");
    await page.waitForFunction(() => document.querySelectorAll(".chat-title").length === 1);
    assert.deepEqual(await texts(chatList(page)), ["About whales"]);
    await page.getByRole("searchbox", { name: "Search chats" }).fill("nothing like it");
    await page.getByText("No chat has these words.").waitFor();
  }));

test("a chat goes on while another one is read", () =>
  onPage({}, async (page) => {
    await composer(page).fill("lines in the background");
    await composer(page).press("Enter");
    await page.getByText("Line 3.", { exact: true }).waitFor();
    await page.keyboard.press("Control+Shift+O");
    await ask(page, "Another one");
    assert.equal(await page.getByRole("img", { name: "still answering" }).count(), 1);
    await chatList(page).filter({ hasText: "lines in the background" }).click();
    await page.getByText("Line 299.", { exact: true }).waitFor();
    await ended(page);
    assert.equal(await page.locator(".failure").count(), 0);
  }));

test("two tabs see the same", () =>
  onPage({}, async (page, mock, { context }) => {
    await composer(page).fill("slow for both");
    await composer(page).press("Enter");
    await page.getByText("word3").waitFor();
    const other = await context.newPage();
    await other.goto(page.url());
    await other.getByText("word3").waitFor();
    // The other tab asks whether anybody still receives the answer; it must not take it for lost, not for a moment.
    await assert.rejects(other.locator(".failure").waitFor({ timeout: 1500 }));
    await other.getByText("word100").waitFor();
    await page.keyboard.press("Escape");
    await other.getByText("You stopped this answer.").waitFor();
    await other.getByRole("button", { name: /^Delete: slow/ }).click();
    await page.waitForFunction(() => document.querySelectorAll(".chat-title").length === 0);
    await page.getByText("Your messages go to").waitFor();
  }));

test("a chat that is deleted while it is answered stays deleted", () =>
  onPage({}, async (page) => {
    await composer(page).fill("slow one");
    await composer(page).press("Enter");
    await page.getByText("word3").waitFor();
    await page.getByRole("button", { name: /^Delete: slow/ }).click();
    await page.waitForTimeout(1200);
    await page.reload();
    await composer(page).waitFor();
    assert.equal(await chatList(page).count(), 0);
    assert.equal(await stopButton(page).count(), 0);
  }));

test("Enter that ends the work of an input method sends nothing", () =>
  onPage({}, async (page, mock) => {
    await composer(page).fill("你好");
    await composer(page).evaluate((field) => {
      field.dispatchEvent(new KeyboardEvent("keydown", { key: "Enter", isComposing: true, bubbles: true }));
      field.dispatchEvent(new KeyboardEvent("keydown", { key: "Enter", keyCode: 229, bubbles: true }));
    });
    await page.waitForTimeout(200);
    assert.equal(mock.requests.length, 0);
  }));

test("the page speaks Chinese to a Chinese browser, and English on demand", () =>
  onPage({ locale: "zh-CN" }, async (page) => {
    await page.getByText("想了解点什么？").waitFor();
    assert.equal(await page.evaluate(() => document.documentElement.lang), "zh-CN");
    await page.getByRole("button", { name: "设置", exact: true }).click();
    await page.getByText("English").click();
    await page.getByRole("heading", { name: "Settings" }).waitFor();
    await page.reload();
    await page.getByText("What would you like to know?").waitFor();
  }));

test("copying gives the answer as it was written", () =>
  onPage({ permissions: ["clipboard-read", "clipboard-write"] }, async (page) => {
    await ask(page, "sample");
    await page.getByRole("button", { name: "Copy the answer" }).click();
    assert.match(await page.evaluate(() => navigator.clipboard.readText()), /^Sea water is salty because \*\*rivers/);
    await page.getByRole("button", { name: "Copy the code" }).click();
    assert.match(await page.evaluate(() => navigator.clipboard.readText()), /^def salt_grams[\s\S]*# 87\.5$/);
  }));

test("a browser that keeps nothing still has a page that works", () =>
  onPage({}, async (page, mock, { context }) => {
    const bare = await context.newPage();
    await bare.addInitScript(() => {
      Object.defineProperty(window, "indexedDB", { get: () => undefined });
      Object.defineProperty(window, "localStorage", { get: () => { throw new DOMException("no", "SecurityError"); } });
      // As on plain HTTP, away from this machine.
      Object.defineProperty(navigator, "clipboard", { get: () => undefined });
      crypto.randomUUID = undefined;
    });
    await bare.goto(mock.url);
    await bare.getByText("This browser does not let the page keep anything").waitFor();
    await ask(bare, "Hello");
    await bare.getByRole("button", { name: "Copy the answer" }).click();
    await bare.getByRole("status").filter({ hasText: "Copied" }).first().waitFor({ state: "attached" });
    assert.equal(await answers(bare).count(), 1);
  }));
