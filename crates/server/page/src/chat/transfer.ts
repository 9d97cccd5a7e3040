// Conversations as files: what is exported, and what of a file is accepted.
//
// A file is a stranger's. Every field is checked, what does not fit is refused by name, and nothing of it is taken
// before all of it is checked. The same checks hold for what comes out of the browser's database.

import { type Conversation, type Message, newId } from "./conversation";
import { count, record } from "./failure";
import { samplingOf } from "./sampling";

/** A conversation with all of its messages. */
export interface Whole {
  conversation: Conversation;
  messages: Message[];
}

interface ExportFile {
  format: typeof FORMAT;
  version: 1;
  conversations: (Conversation & { messages: Message[] })[];
}

export const IMPORT_BYTES_MAX = 64 * 1024 * 1024;
const FORMAT = "kun-conversations";
const CONVERSATIONS_MAX = 20_000;
const MESSAGES_MAX = 100_000;
export const TITLE_CHARS_MAX = 200;

/** The text of an export, to be read by `parseExport` or by a person. */
export function exportText(wholes: readonly Whole[]): string {
  const conversations = wholes.map(({ conversation, messages }) => ({ ...conversation, messages: parentsFirst(messages) }));
  const file: ExportFile = { format: FORMAT, version: 1, conversations };
  return `${JSON.stringify(file, null, 2)}\n`;
}

function parentsFirst(messages: readonly Message[]): Message[] {
  const children = new Map<string | null, Message[]>();
  for (const message of messages) children.set(message.parent, [...(children.get(message.parent) ?? []), message]);
  const ordered = [...(children.get(null) ?? [])];
  // The list grows while it is walked.
  for (const message of ordered) ordered.push(...(children.get(message.id) ?? []));
  return ordered;
}

/** One path of a conversation as Markdown. */
export function markdownText(conversation: Conversation, path: readonly Message[], names: Record<string, string>): string {
  const system = conversation.system.trim() === "" ? [] : [`> ${conversation.system.trim().replace(/\n/g, "\n> ")}`];
  const turns = path.map((message) => `## ${names[message.role] ?? message.role}\n\n${message.text.trim()}`);
  return `${[`# ${conversation.title}`, ...system, ...turns].join("\n\n")}\n`;
}

/** A problem with a file: where it is, for words that are chosen elsewhere. */
export class ImportRefused extends Error {}

/** The conversations in an export. Throws `ImportRefused` that names the first thing that is wrong. */
export function parseExport(text: string): Whole[] {
  let file: Record<string, unknown>;
  try {
    file = record(JSON.parse(text));
  } catch (error) {
    throw new ImportRefused(error instanceof Error ? error.message : "JSON");
  }
  if (file.format !== FORMAT) throw new ImportRefused(`format: "${FORMAT}"`);
  if (file.version !== 1) throw new ImportRefused("version: 1");
  if (!Array.isArray(file.conversations)) throw new ImportRefused("conversations");
  if (file.conversations.length > CONVERSATIONS_MAX) throw new ImportRefused(`conversations: ≤ ${CONVERSATIONS_MAX}`);
  return file.conversations.map((row, index) => checkedWhole(row, `conversations[${index}]`));
}

/** The same conversation under ids of its own, so that it can stand beside the one it came from. */
export function withNewIds({ conversation, messages }: Whole): Whole {
  const id = newId();
  const ids = new Map(messages.map((message) => [message.id, newId()]));
  const renamed = (old: string) => ids.get(old) ?? "";
  const chosen = Object.entries(conversation.chosen).map(([parent, child]) => [renamed(parent), renamed(child)]);
  return {
    conversation: { ...conversation, id, chosen: Object.fromEntries(chosen) },
    messages: messages.map((message) => ({
      ...message,
      id: renamed(message.id),
      conversation: id,
      parent: message.parent === null ? null : renamed(message.parent),
    })),
  };
}

function checkedWhole(row: unknown, place: string): Whole {
  const conversation = checkedConversation(row);
  if (conversation === undefined) throw new ImportRefused(place);
  const rows = record(row).messages;
  if (!Array.isArray(rows) || rows.length > MESSAGES_MAX) throw new ImportRefused(`${place}.messages`);
  const known = new Set<string>();
  const messages = rows.map((value, index) => {
    const message = checkedMessage({ ...record(value), conversation: conversation.id });
    // A parent comes before its children, so there is no cycle and no message that hangs in the air.
    const hangs = message === undefined || known.has(message.id) || (message.parent !== null && !known.has(message.parent));
    if (hangs) throw new ImportRefused(`${place}.messages[${index}]`);
    known.add(message.id);
    return message.standing === "streaming" ? { ...message, standing: "stopped" as const } : message;
  });
  return { conversation, messages };
}

export function checkedConversation(value: unknown): Conversation | undefined {
  const { id, title, createdAt, changedAt, system, model, sampling, chosen } = record(value);
  // It is part of the page's address.
  if (typeof id !== "string" || !/^[\w-]{1,64}$/.test(id)) return undefined;
  const choices = Object.entries(record(chosen)).filter(([, child]) => typeof child === "string");
  return {
    id,
    title: typeof title === "string" ? title.replace(/\s+/g, " ").slice(0, TITLE_CHARS_MAX) : "",
    createdAt: count(createdAt) ?? 0,
    changedAt: count(changedAt) ?? 0,
    system: typeof system === "string" ? system : "",
    model: typeof model === "string" ? model : "",
    sampling: samplingOf(record(sampling)),
    chosen: Object.fromEntries(choices) as Record<string, string>,
  };
}

const ROLES = ["user", "assistant"] as const;
const STANDINGS = ["done", "streaming", "stopped", "failed"] as const;
const FIGURES = [
  "promptTokens",
  "cachedTokens",
  "answerTokens",
  "tokensPerSecond",
  "promptTokensPerSecond",
  "firstTokenMs",
  "queueMs",
] as const;
const FAILURES = [
  "unreachable",
  "key",
  "busy",
  "loading",
  "draining",
  "context",
  "model",
  "refused",
  "server",
  "broken",
  "silent",
  "interrupted",
] as const;

export function checkedMessage(value: unknown): Message | undefined {
  const row = record(value);
  const role = ROLES.find((known) => known === row.role);
  const { id, conversation, parent, text } = row;
  if (role === undefined || typeof id !== "string" || id === "" || typeof conversation !== "string") return undefined;
  if ((parent !== null && typeof parent !== "string") || typeof text !== "string") return undefined;
  const standing = STANDINGS.find((known) => known === row.standing) ?? "done";
  const message: Message = { id, conversation, parent, role, text, at: count(row.at) ?? 0, standing };
  for (const name of ["thinking", "model", "finish", "stopReason"] as const) {
    const said = row[name];
    if (typeof said === "string") message[name] = said;
  }
  const failure = record(row.failure);
  const kind = FAILURES.find((known) => known === failure.kind);
  if (kind !== undefined) {
    const said = typeof failure.said === "string" ? failure.said : "";
    message.failure = { kind, said, ...numbers(failure, ["retryAt", "promptTokens", "contextTokens"] as const) };
  }
  if (row.figures !== undefined) message.figures = numbers(record(row.figures), FIGURES);
  return message;
}

function numbers<Name extends string>(row: Record<string, unknown>, names: readonly Name[]): Partial<Record<Name, number>> {
  const found = names.map((name) => [name, count(row[name])] as const).filter(([, number]) => number !== undefined);
  return Object.fromEntries(found) as Partial<Record<Name, number>>;
}
