// What the page says aside: a line at the bottom that goes away, and what a screen reader is told.

import { signal } from "@preact/signals";

export interface Notice {
  text: string;
  action?: { label: string; run: () => void };
}

const NOTICE_MS = 8000;

export const notice = signal<Notice | undefined>(undefined);
/** The text of the live region. */
export const announcement = signal("");

let timer = 0;

export function show(next: Notice): void {
  notice.value = next;
  clearTimeout(timer);
  timer = window.setTimeout(dismiss, NOTICE_MS);
}

export function dismiss(): void {
  notice.value = undefined;
}

export function announce(text: string): void {
  // The same words a second time would not be read out.
  announcement.value = announcement.peek() === text ? `${text}\u00a0` : text;
}
