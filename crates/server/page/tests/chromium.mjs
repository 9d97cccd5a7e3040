// A browser for the tests, and what its pages do that they must not: errors, requests elsewhere, breaches of the policy.

import { existsSync } from "node:fs";
import { chromium } from "playwright-core";

const PLACES = ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"];
const FLAGS = [
  "--headless",
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
];
const STEP_MS_MAX = 15_000;

export const DESKTOP = { viewport: { width: 1280, height: 832 } };
export const PHONE = { viewport: { width: 390, height: 780 }, deviceScaleFactor: 2, isMobile: true, hasTouch: true };

/** The browser that `KUN_TEST_CHROMIUM` names, or the system's; nothing if there is none. */
export function browserPath() {
  return process.env.KUN_TEST_CHROMIUM ?? PLACES.find((place) => existsSync(place));
}

export async function launch() {
  const executablePath = browserPath();
  if (executablePath === undefined) throw new Error("no chromium: install it, or name it in KUN_TEST_CHROMIUM");
  return chromium.launch({ executablePath, args: FLAGS, headless: true });
}

/**
 * A fresh profile with the page open. `complaints` collects what a page must never do. A failed request makes the
 * browser write an error by itself, so `expectRefusals` lets those pass.
 */
export async function openPage(browser, url, { expectRefusals = false, settings = {}, ...options } = {}) {
  const context = await browser.newContext({ locale: "en-US", colorScheme: "light", ...DESKTOP, ...options });
  await context.addInitScript((kept) => {
    window.breaches = [];
    document.addEventListener("securitypolicyviolation", (event) => window.breaches.push(`${event.violatedDirective} ${event.blockedURI}`));
    for (const [name, value] of Object.entries(kept)) if (localStorage.getItem(name) === null) localStorage.setItem(name, value);
  }, settings);
  const page = await context.newPage();
  page.setDefaultTimeout(STEP_MS_MAX);
  const complaints = [];
  page.on("console", (message) => {
    const refusal = expectRefusals && message.text().startsWith("Failed to load resource");
    if (["error", "warning"].includes(message.type()) && !refusal) complaints.push(`console: ${message.text()}`);
  });
  page.on("pageerror", (error) => complaints.push(`error: ${error.message}`));
  page.on("request", (request) => {
    const { origin, protocol } = new URL(request.url());
    if (origin !== new URL(url).origin && !["data:", "blob:"].includes(protocol)) complaints.push(`request: ${request.url()}`);
  });
  await page.goto(url);
  await page.locator("#composer").waitFor();
  return { context, page, complaints };
}

/** What the page complained of, and what its policy had to stop. */
export async function allComplaints({ page, complaints }) {
  return [...complaints, ...(await page.evaluate(() => window.breaches)).map((breach) => `policy: ${breach}`)];
}
