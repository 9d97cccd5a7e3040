// The page against a server: the one that `KUN_TEST_URL` names, with whatever model it has, or the scripted one.
//
// Nothing here depends on what an answer says.

import assert from "node:assert/strict";
import { mkdir } from "node:fs/promises";
import { after, before, test } from "node:test";
import { allComplaints, DESKTOP, launch, openPage, PHONE } from "./chromium.mjs";
import { answers, ask, bubbles, chatList, composer, ended, focused, prose, sendButton, sidewaysScrollers, stopButton, texts } from "./drive.mjs";
import { startMock } from "./mock.mjs";

const SCREENSHOTS = process.env.KUN_TEST_SCREENSHOTS;
/** What makes any model, and the scripted server, talk for a while. */
const TALK = "slow please: tell me a very long story about the sea, with every detail that you can think of.";

/** A small model may talk until its context is full. Where its words don't matter, it gets this many. */
const BRIEF = { "kun.beginning": JSON.stringify({ sampling: { max_completion_tokens: 64 } }) };

let browser;
let mock;
let url;

before(async () => {
  browser = await launch();
  if (process.env.KUN_TEST_URL === undefined) mock = await startMock();
  url = mock?.url ?? process.env.KUN_TEST_URL;
});

after(async () => {
  await browser?.close();
  mock?.close();
});

/** Runs a test on a fresh page, which must have complained of nothing in the end. */
async function onPage(options, run) {
  const opened = await openPage(browser, url, { settings: BRIEF, ...options });
  try {
    await run(opened.page, opened);
    assert.deepEqual(await allComplaints(opened), []);
  } finally {
    await opened.context.close();
  }
}

test("a message is answered, with figures below", () =>
  onPage({}, async (page) => {
    await page.getByText("Your messages go to").waitFor();
    await ask(page, "Say hello.");
    assert.deepEqual(await texts(bubbles(page)), ["Say hello."]);
    assert.notEqual((await texts(prose(page)))[0], "");
    const figures = await page.locator(".figures").innerText();
    assert.match(figures, /^[\d,]+ tokens?( · | ).*tokens\/s.*first token [\d.]+ s.*prompt tokens/s);
    assert.equal(await focused(page), "Message");
    assert.equal(await page.title(), "Say hello. · Kun");
    assert.deepEqual(await texts(chatList(page)), ["Say hello."]);
  }));

test("an answer can be stopped, and what had come stays", () =>
  onPage({ settings: {} }, async (page) => {
    // A small model may be done before it can be stopped: then it is asked again.
    for (let round = 0; round < 5; round += 1) {
      await page.getByRole("button", { name: "New chat" }).first().click();
      await composer(page).fill(TALK);
      await composer(page).press("Enter");
      await prose(page).first().waitFor();
      if (await stopButton(page).isVisible()) await page.keyboard.press("Escape");
      await ended(page);
      if (await page.getByText("You stopped this answer.").isVisible()) break;
    }
    await page.getByText("You stopped this answer.").waitFor();
    const text = (await texts(prose(page)))[0];
    assert.notEqual(text, "");
    await page.reload();
    await page.getByText("You stopped this answer.").waitFor();
    assert.equal((await texts(prose(page)))[0], text);
  }));

test("after a reload the conversation, the draft and the address are there", () =>
  onPage({}, async (page) => {
    await ask(page, "First question");
    const said = await texts(prose(page));
    await composer(page).fill("half a thought");
    const address = page.url();
    await page.reload();
    await bubbles(page).first().waitFor();
    assert.equal(page.url(), address);
    assert.deepEqual(await texts(prose(page)), said);
    assert.equal(await composer(page).inputValue(), "half a thought");
    await page.goto(url);
    await chatList(page).first().click();
    await bubbles(page).first().waitFor();
    assert.deepEqual(await texts(prose(page)), said);
  }));

test("an answer that streams while the page is reloaded is kept as far as it came", () =>
  onPage({ settings: {} }, async (page) => {
    await composer(page).fill(TALK);
    await composer(page).press("Enter");
    await prose(page).first().waitFor();
    await page.waitForTimeout(mock === undefined ? 50 : 1500);
    const wasStreaming = await stopButton(page).isVisible();
    const before = (await texts(prose(page)))[0];
    await page.reload();
    await prose(page).first().waitFor();
    assert.ok((await texts(prose(page)))[0].startsWith(before.slice(0, 20)), "the beginning is there");
    if (wasStreaming && mock !== undefined) await page.getByText("The page was closed or reloaded").waitFor();
  }));

test("a message is edited, and both versions stay", () =>
  onPage({}, async (page) => {
    await ask(page, "Number one");
    await ask(page, "Number two");
    await bubbles(page).first().hover();
    await page.getByRole("button", { name: "Edit" }).first().click();
    await page.getByRole("textbox", { name: "Edit" }).fill("Number one, changed");
    await page.keyboard.press("Enter");
    await page.getByText("2/2").waitFor();
    await ended(page);
    assert.deepEqual(await texts(bubbles(page)), ["Number one, changed"]);
    assert.equal(await answers(page).count(), 1);
    await page.getByRole("button", { name: "Previous version" }).press("Enter");
    assert.deepEqual(await texts(bubbles(page)), ["Number one", "Number two"]);
    // The focus stays, so the way back is one key.
    assert.equal(await focused(page), "Previous version");
    await page.reload();
    await bubbles(page).nth(1).waitFor();
    assert.deepEqual(await texts(bubbles(page)), ["Number one", "Number two"]);
    await page.getByRole("button", { name: "Next version" }).click();
    assert.deepEqual(await texts(bubbles(page)), ["Number one, changed"]);
  }));

test("an answer is asked for again, and both stay", () =>
  onPage({}, async (page) => {
    await ask(page, "Say something.");
    await page.getByRole("button", { name: "Answer again" }).click();
    await page.getByText("2/2").waitFor();
    await ended(page);
    await page.getByRole("button", { name: "Previous version" }).click();
    await page.getByText("1/2").waitFor();
    await ask(page, "And more.");
    assert.deepEqual(await texts(bubbles(page)), ["Say something.", "And more."]);
    await page.getByRole("button", { name: "Next version" }).first().click();
    assert.deepEqual(await texts(bubbles(page)), ["Say something."]);
  }));

test("everything can be done with the keyboard alone", () =>
  onPage({}, async (page) => {
    const press = (...keys) => keys.reduce((before, key) => before.then(() => page.keyboard.press(key)), Promise.resolve());
    const inField = () => page.waitForFunction(() => document.activeElement?.id === "composer");
    await inField();
    await page.keyboard.type("First chat");
    await press("Shift+Enter");
    await page.keyboard.type("second line");
    await press("Enter");
    await bubbles(page).first().waitFor();
    await ended(page);
    assert.deepEqual(await texts(bubbles(page)), ["First chat\nsecond line"]);
    await press("Control+Shift+O");
    await page.getByText("Your messages go to").waitFor();
    await inField();
    await page.keyboard.type("Second chat");
    await press("Enter");
    await bubbles(page).first().waitFor();
    await ended(page);
    // Up in the empty field edits the last message; Esc leaves it as it was.
    await press("ArrowUp");
    assert.equal(await focused(page), "Edit");
    await press("Escape");
    await inField();
    await press("Control+Shift+Enter");
    await page.getByText("2/2").waitFor();
    await ended(page);
    // The list: search, move, rename, delete, take it back.
    await press("Control+K");
    await page.waitForFunction(() => document.activeElement?.id === "search");
    await press("ArrowDown", "ArrowDown");
    assert.match(await focused(page), /First chat/);
    await press("F2");
    await page.getByRole("textbox", { name: "Rename" }).waitFor();
    await page.keyboard.type("Renamed");
    await press("Enter");
    await page.waitForFunction(() => document.activeElement?.textContent === "Renamed");
    await press("Delete");
    await page.getByText("Deleted “Renamed”.").first().waitFor();
    assert.deepEqual(await texts(chatList(page)), ["Second chat"]);
    await page.getByRole("button", { name: "Undo" }).press("Enter");
    await page.waitForFunction(() => document.querySelectorAll(".chat-title").length === 2);
    await page.getByText("second line").first().waitFor();
    // Windows give the focus back.
    await composer(page).focus();
    await press("Control+.");
    await page.getByRole("dialog", { name: "Chat settings" }).waitFor();
    await press("Escape");
    await inField();
    await press("Control+/");
    await page.getByRole("dialog", { name: "Keyboard shortcuts" }).waitFor();
    await press("Escape", "Control+B");
    assert.equal(await page.locator("#sidebar").isVisible(), false);
    await press("Control+B");
    assert.equal(await page.locator("#sidebar").isVisible(), true);
  }));

test("a link skips to the message field, and focus is always seen", () =>
  onPage({}, async (page) => {
    // Back from the field as far as it goes.
    for (let stop = 0; stop < 40 && (await focused(page)) !== "Skip to the message field"; stop += 1) await page.keyboard.press("Shift+Tab");
    assert.equal(await focused(page), "Skip to the message field");
    await page.keyboard.press("Enter");
    assert.equal(await focused(page), "Message");
    for (let stop = 0; stop < 14; stop += 1) {
      await page.keyboard.press("Tab");
      const seen = await page.evaluate(() => {
        const element = document.activeElement;
        const style = getComputedStyle(element);
        // A field of several lines shows it by the border of the box around it.
        return element === document.body || style.outlineStyle !== "none" || element.matches("textarea");
      });
      assert.ok(seen, await focused(page));
    }
  }));

test("on a phone nothing scrolls sideways, and the list is a drawer", () =>
  onPage(PHONE, async (page) => {
    assert.deepEqual(await sidewaysScrollers(page), []);
    await ask(page, `A long word: ${"a".repeat(300)} and sample code`);
    await ask(page, "sample");
    assert.deepEqual(await sidewaysScrollers(page), []);
    const size = await composer(page).evaluate((field) => Number.parseFloat(getComputedStyle(field).fontSize));
    assert.ok(size >= 16, `${size} px makes a phone zoom in`);
    assert.equal(await page.locator("#sidebar").isVisible(), false);
    await page.getByRole("button", { name: "Show the list of chats" }).tap();
    await page.locator("#sidebar").waitFor();
    assert.equal(await page.locator("main").evaluate((main) => main.inert), true);
    await page.getByRole("button", { name: "New chat" }).first().tap();
    await page.getByText("Your messages go to").waitFor();
    await page.getByRole("button", { name: "Chat settings" }).tap();
    await page.getByRole("dialog").waitFor();
    assert.deepEqual(await sidewaysScrollers(page), []);
  }));

test("dark and light follow the system until the user chooses", () =>
  onPage({}, async (page) => {
    const ground = () => page.evaluate(() => getComputedStyle(document.body).backgroundColor);
    const light = await ground();
    await page.emulateMedia({ colorScheme: "dark" });
    const dark = await ground();
    assert.notEqual(light, dark);
    await page.getByRole("button", { name: "Switch to light" }).click();
    assert.equal(await ground(), light);
    await page.reload();
    assert.equal(await ground(), light);
    await page.emulateMedia({ colorScheme: "light" });
    await page.getByRole("button", { name: "Switch to dark" }).click();
    assert.equal(await ground(), dark);
  }));

test("the model, the system prompt and the sampling of a chat are sent and kept", () =>
  onPage({}, async (page) => {
    await page.keyboard.press("Control+.");
    await page.getByRole("textbox", { name: "System prompt" }).fill("Answer in one word.");
    await page.getByLabel("Temperature").fill("3");
    await page.getByText("A number from 0 to 2").waitFor();
    await page.getByLabel("Temperature").fill("0");
    await page.getByLabel("Max tokens").fill("16");
    await page.getByLabel("Seed").fill("7");
    await page.keyboard.press("Escape");
    const sent = page.waitForRequest((request) => request.url().endsWith("/v1/chat/completions"));
    await ask(page, "What is the sea?");
    const { stream, stream_options, messages, model, ...sampling } = (await sent).postDataJSON();
    assert.deepEqual(sampling, { temperature: 0, max_completion_tokens: 16, seed: 7 });
    assert.deepEqual(messages, [{ role: "system", content: "Answer in one word." }, { role: "user", content: "What is the sea?" }]);
    assert.deepEqual({ stream, stream_options }, { stream: true, stream_options: { include_usage: true } });
    assert.equal(model, await page.getByRole("combobox", { name: "Model" }).inputValue());
    await page.reload();
    await bubbles(page).first().waitFor();
    await page.keyboard.press("Control+.");
    assert.equal(await page.getByLabel("Max tokens").inputValue(), "16");
    await page.getByRole("button", { name: "Reset to the model’s defaults" }).click();
    assert.equal(await page.getByLabel("Max tokens").inputValue(), "");
    await page.keyboard.press("Escape");
    const again = page.waitForRequest((request) => request.url().endsWith("/v1/chat/completions"));
    await ask(page, "Again.");
    assert.equal((await again).postDataJSON().temperature, undefined);
  }));

test("the page looks right", { skip: SCREENSHOTS === undefined && "KUN_TEST_SCREENSHOTS names no folder" }, async () => {
  await mkdir(SCREENSHOTS, { recursive: true });
  for (const [screen, options] of Object.entries({ desktop: DESKTOP, phone: PHONE })) {
    for (const colorScheme of ["light", "dark"]) {
      await onPage({ ...options, colorScheme }, (page) => photograph(page, `${SCREENSHOTS}/${screen}-${colorScheme}`));
    }
  }
});

async function photograph(page, name) {
  await page.screenshot({ path: `${name}-1-welcome.png` });
  await ask(page, "How do I fold a paper boat?");
  await page.evaluate(() => document.querySelector('[aria-label="New chat"], .new-chat').click());
  await ask(page, "sample: why is the sea salty, and how much salt is in it?");
  await page.locator(".scroll").evaluate((scroll) => scroll.scrollTo(0, 0));
  await page.screenshot({ path: `${name}-2-answer.png` });
  await page.locator(".scroll").evaluate((scroll) => scroll.scrollTo(0, scroll.scrollHeight));
  await page.screenshot({ path: `${name}-3-end.png` });
  await page.getByRole("button", { name: "Chat settings" }).click();
  await page.screenshot({ path: `${name}-4-chat-settings.png` });
  await page.keyboard.press("Escape");
  if (!(await page.locator("#sidebar").isVisible())) await page.getByRole("button", { name: "Show the list of chats" }).click();
  await page.waitForTimeout(300);
  await page.screenshot({ path: `${name}-5-list.png` });
  await page.getByRole("button", { name: "Settings", exact: true }).click();
  await page.screenshot({ path: `${name}-6-settings.png` });
}
