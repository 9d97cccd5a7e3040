// How the tests use the page: by what a user sees and can reach, not by how it is made.

export const composer = (page) => page.getByRole("textbox", { name: "Message", exact: true });
export const bubbles = (page) => page.locator(".message.user .bubble");
export const answers = (page) => page.locator(".message.assistant");
export const prose = (page) => page.locator(".message.assistant > .prose");
export const sendButton = (page) => page.getByRole("button", { name: "Send", exact: true });
export const stopButton = (page) => page.getByRole("button", { name: "Stop", exact: true });
export const chatList = (page) => page.locator(".chat-title");

/** Sends a message and waits until its answer has ended, however. */
export async function ask(page, text) {
  const before = await bubbles(page).count();
  await composer(page).fill(text);
  await sendButton(page).click();
  await bubbles(page).nth(before).waitFor();
  await ended(page);
}

/** Waits until no answer is being received. */
export async function ended(page, timeout = 120_000) {
  // The button is there all the time; while an answer is received it stops.
  await sendButton(page).waitFor({ timeout });
}

export async function texts(locator) {
  return (await locator.allInnerTexts()).map((text) => text.trim());
}

/** Does the page, or anything in it that may not, scroll sideways? The names of what does. */
export async function sidewaysScrollers(page) {
  return page.evaluate(() => {
    const wide = [...document.querySelectorAll("html, body, .page, .main, .scroll, .welcome, .composer, .chats, dialog[open]")];
    return wide.filter((element) => element.scrollWidth > element.clientWidth + 1).map((element) => element.className || element.tagName);
  });
}

/** What has the focus, in words. */
export async function focused(page) {
  return page.evaluate(() => {
    const element = document.activeElement;
    return element?.getAttribute("aria-label") ?? element?.textContent?.trim() ?? "";
  });
}
