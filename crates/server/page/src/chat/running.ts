// Which answers this tab receives, and how to stop them: at most one in each conversation.

import { signal } from "@preact/signals";
import type { Receipt } from "./receipt";

export interface Running {
  receipt: Receipt;
  controller: AbortController;
}

/** By conversation. */
export const running = signal<ReadonlyMap<string, Running>>(new Map());

export function begin(conversation: string, answer: Running): void {
  running.value = new Map(running.peek()).set(conversation, answer);
}

export function finish(conversation: string, answer: Running): void {
  if (running.peek().get(conversation) !== answer) return;
  const others = new Map(running.peek());
  others.delete(conversation);
  running.value = others;
}

export function stopAll(conversation: string): void {
  running.peek().get(conversation)?.controller.abort();
}

export function receives(message: string): boolean {
  return [...running.peek().values()].some(({ receipt }) => receipt.message.id === message);
}

/** Keeps what has arrived so far of all answers. */
export function keepRunning(): void {
  for (const { receipt } of running.peek().values()) receipt.keepNow();
}
