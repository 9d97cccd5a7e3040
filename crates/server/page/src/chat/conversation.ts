// What a conversation is: a tree of messages, of which one path is shown.
//
// Plain data, as it is kept in the browser and exported. Messages never move in the tree and their texts are never
// changed once they are whole: an edited question or another answer is a new sibling.

import type { Failure } from "./failure";
import type { Sampling } from "./sampling";

export type Role = "user" | "assistant";

/** How it went with an answer. A message of the user is always done. */
export type Standing = "done" | "streaming" | "stopped" | "failed";

/** What the server counted and measured, shown under an answer. */
export interface Figures {
  promptTokens?: number;
  cachedTokens?: number;
  answerTokens?: number;
  tokensPerSecond?: number;
  promptTokensPerSecond?: number;
  firstTokenMs?: number;
  queueMs?: number;
}

export interface Message {
  id: string;
  conversation: string;
  parent: string | null;
  role: Role;
  text: string;
  at: number;
  standing: Standing;
  thinking?: string;
  model?: string;
  finish?: string;
  stopReason?: string;
  failure?: Failure;
  figures?: Figures;
}

export interface Conversation {
  id: string;
  title: string;
  createdAt: number;
  changedAt: number;
  system: string;
  model: string;
  sampling: Sampling;
  /** Which child of a message is shown; the first messages are children of "". */
  chosen: Record<string, string>;
}

/** What the server is sent of a message. */
export interface WireMessage {
  role: "system" | Role;
  content: string;
}

/** An id that is unique in practice. `crypto.randomUUID` is not there on plain HTTP, which Kun often is. */
export function newId(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(12));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

const TITLE_CHARS_MAX = 60;

/** A title made of the first message: its first line with words in it, without Markdown's marks. */
export function titleOf(text: string): string {
  const plain = (line: string) => line.replace(/^[\s#>*\-+`]+|[`*_]+/g, "").replace(/\s+/g, " ").trim();
  const line = text.slice(0, 4000).split("\n").map(plain).find((line) => /[\p{L}\p{N}]/u.test(line)) ?? plain(text.slice(0, 200));
  const characters = Array.from(line);
  if (characters.length <= TITLE_CHARS_MAX) return line;
  const cut = characters.slice(0, TITLE_CHARS_MAX).join("");
  const space = cut.lastIndexOf(" ");
  return `${(space > TITLE_CHARS_MAX / 2 ? cut.slice(0, space) : cut).replace(/[\s,;:.，。；：、]+$/u, "")}…`;
}

/**
 * The messages of a path as the server wants them. Empty answers, those that failed at once, are left out, and
 * neighbours of one role are joined: many templates refuse two turns of the user in a row.
 */
export function wireMessages(system: string, path: readonly Message[]): WireMessage[] {
  const wire: WireMessage[] = system.trim() === "" ? [] : [{ role: "system", content: system }];
  for (const { role, text } of path) {
    if (text === "" && role === "assistant") continue;
    const last = wire.at(-1);
    if (last?.role === role) last.content += `\n\n${text}`;
    else wire.push({ role, content: text });
  }
  return wire;
}
