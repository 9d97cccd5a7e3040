// What the user set for the page as a whole, kept in the browser's local storage.
//
// A browser that refuses to keep anything still gets a page that works until it is closed.

import { effect, type Signal, signal } from "@preact/signals";
import { record } from "./failure";
import { type Sampling, samplingOf } from "./sampling";

export type Theme = "system" | "light" | "dark";
export type LanguageChoice = "system" | "en" | "zh";

/** What a new conversation begins with. */
export interface Beginning {
  model: string;
  system: string;
  sampling: Sampling;
}

const PREFIX = "kun.";

export const theme = kept<Theme>("theme", "system", oneOf(["system", "light", "dark"]));
export const language = kept<LanguageChoice>("language", "system", oneOf(["system", "en", "zh"]));
export const apiKey = kept<string>("key", "", text);
export const sidebarOpen = kept<boolean>("sidebar", true, (value) => value !== false);
export const beginning = kept<Beginning>("beginning", { model: "", system: "", sampling: {} }, (value) => {
  const { model, system, sampling } = record(value);
  return { model: text(model), system: text(system), sampling: samplingOf(record(sampling)) };
});

/** A message that was begun and not yet sent. "" is the conversation that does not exist yet. */
export function draftOf(conversation: string): string {
  return text(read(`draft.${conversation}`));
}

export function keepDraft(conversation: string, draft: string): void {
  write(`draft.${conversation}`, draft === "" ? undefined : draft);
}

/** Forgets the drafts of all conversations but these. */
export function forgetDrafts(except: ReadonlySet<string>): void {
  const prefix = `${PREFIX}draft.`;
  guarded(() => {
    for (const name of Object.keys(localStorage)) {
      const conversation = name.startsWith(prefix) ? name.slice(prefix.length) : "";
      if (conversation !== "" && !except.has(conversation)) localStorage.removeItem(name);
    }
  });
}

/** A value that outlives the page, and that all open tabs share. */
function kept<T>(name: string, initial: T, check: (value: unknown) => T): Signal<T> {
  const stored = read(name);
  const value = signal<T>(stored === undefined ? initial : check(stored));
  let first = true;
  effect(() => {
    const now = value.value;
    if (!first) write(name, now);
    first = false;
  });
  window.addEventListener("storage", (event) => {
    if (event.key !== PREFIX + name) return;
    const now = read(name);
    value.value = now === undefined ? initial : check(now);
  });
  return value;
}

function oneOf<T extends string>(values: readonly T[]): (value: unknown) => T {
  return (value) => values.find((known) => known === value) ?? (values[0] as T);
}

function text(value: unknown): string {
  return typeof value === "string" ? value : "";
}

function read(name: string): unknown {
  return guarded(() => JSON.parse(localStorage.getItem(PREFIX + name) ?? "null") ?? undefined);
}

function write(name: string, value: unknown): void {
  guarded(() => {
    if (value === undefined) localStorage.removeItem(PREFIX + name);
    else localStorage.setItem(PREFIX + name, JSON.stringify(value));
  });
}

/** Local storage throws when it is full or forbidden. */
function guarded<T>(run: () => T): T | undefined {
  try {
    return run();
  } catch {
    return undefined;
  }
}
