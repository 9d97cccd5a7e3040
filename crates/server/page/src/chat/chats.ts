// The conversations in this browser: the list of them, the one that is shown, and every change to them.
//
// A conversation is in the database from its first message on. What a function here changes is on the screen at once
// and in the database a moment later; the other tabs are told then.

import { signal } from "@preact/signals";
import { type Conversation, type Message, newId } from "./conversation";
import { announce, show } from "./notices";
import { receives, stopAll } from "./running";
import { beginning, forgetDrafts } from "./settings";
import { openStore, type Store } from "./storage";
import { type News, Tabs } from "./tabs";
import { Thread } from "./thread";
import { ImportRefused, parseExport, type Whole, withNewIds } from "./transfer";
import { words } from "../words";

/** Newest first. */
export const conversations = signal<readonly Conversation[]>([]);
export const current = signal<Thread>(fresh());
/** Does the browser keep what is written? */
export const lasting = signal(true);

const SETTLE_MS = 4000;

let store: Store;
let tabs: Tabs;
/** The one that is shown, and those that an answer is being received for. */
const threads = new Map<string, Thread>();

export async function startChats(): Promise<void> {
  store = await openStore();
  lasting.value = store.lasting;
  tabs = new Tabs(receives, (news) => void hear(news));
  conversations.value = sorted(await store.conversations());
  forgetDrafts(new Set(conversations.value.map((conversation) => conversation.id)));
  await showAddressed();
  window.addEventListener("hashchange", () => void showAddressed());
  setInterval(() => void settle(current.peek()), SETTLE_MS);
}

/** Shows the conversation that the address names, or a new one. */
async function showAddressed(): Promise<void> {
  const address = location.hash;
  const id = /^#\/c\/([\w-]+)$/.exec(address)?.[1];
  if (id === current.peek().id) return;
  const thread = id === undefined ? fresh() : ((await loaded(id)) ?? fresh());
  // The user may have gone on to another one meanwhile.
  if (location.hash !== address) return;
  if (id !== undefined && thread.id !== id) history.replaceState(null, "", "#/");
  enter(thread);
}

export function open(id: string): void {
  location.hash = `#/c/${id}`;
}

export function openNew(): void {
  if (location.hash.length > 2) history.pushState(null, "", "#/");
  enter(fresh());
}

function enter(thread: Thread): void {
  current.value = thread;
  for (const [id] of threads) {
    if (id !== thread.id && !threads.get(id)?.messages().some((message) => receives(message.id))) threads.delete(id);
  }
  threads.set(thread.id, thread);
  void settle(thread);
}

function fresh(): Thread {
  const now = Date.now();
  const { model, system, sampling } = beginning.peek();
  return new Thread({ id: newId(), title: "", createdAt: now, changedAt: now, system, model, sampling, chosen: {} }, []);
}

async function loaded(id: string): Promise<Thread | undefined> {
  const open = threads.get(id);
  if (open !== undefined) return open;
  const conversation = await store.conversation(id);
  return conversation && new Thread(conversation, await store.messages(id));
}

/** Marks answers that nobody receives any more: their page was closed or reloaded. */
async function settle(thread: Thread): Promise<void> {
  for (const { id } of thread.messages().filter((message) => message.standing === "streaming")) {
    if (receives(id) || (await tabs.received(id))) continue;
    const message = (await store.message(id)) ?? thread.message(id);
    if (message?.standing !== "streaming" || receives(id)) continue;
    const settled: Message = { ...message, standing: "failed", failure: { kind: "interrupted", said: "" } };
    thread.put(settled);
    await keepMessage(thread, settled);
  }
}

/** Puts a change of the conversation, and the messages that are new with it, where they belong. */
export async function keep(thread: Thread, change: Partial<Conversation>, messages: readonly Message[] = []): Promise<void> {
  if (thread.isDeleted) return;
  for (const message of messages) thread.put(message);
  const conversation = { ...thread.conversation.peek(), ...change };
  thread.conversation.value = conversation;
  if (thread.isEmpty) return;
  if (current.peek() === thread) {
    const address = `#/c/${thread.id}`;
    if (location.hash !== address) history.replaceState(null, "", address);
  }
  enlist(conversation);
  await guarded(store.put(conversation, messages));
  tabs.tell({ type: "conversation", id: thread.id });
  for (const { id } of messages) tabs.tell({ type: "message", conversation: thread.id, id });
}

export async function keepMessage(thread: Thread, message: Message): Promise<void> {
  if (thread.isDeleted) return;
  await guarded(store.putMessage(message));
  tabs.tell({ type: "message", conversation: message.conversation, id: message.id });
}

export async function dropMessage(thread: Thread, id: string): Promise<void> {
  thread.remove(id);
  await guarded(store.removeMessage(id));
}

export async function rename(id: string, title: string): Promise<void> {
  const conversation = conversations.peek().find((one) => one.id === id);
  const trimmed = title.replace(/\s+/g, " ").trim();
  if (conversation === undefined || trimmed === "" || trimmed === conversation.title) return;
  const thread = threads.get(id) ?? new Thread(conversation, []);
  const changed = { ...thread.conversation.peek(), title: trimmed };
  thread.conversation.value = changed;
  enlist(changed);
  await guarded(store.put(changed, []));
  tabs.tell({ type: "conversation", id });
}

/** Deletes at once, and offers to take it back. */
export async function remove(id: string): Promise<void> {
  const whole = await wholeOf(id);
  forget(id);
  await guarded(store.remove(id));
  tabs.tell({ type: "removed", id });
  if (whole === undefined) return;
  const w = words.peek();
  const undo = async () => {
    await guarded(store.put(whole.conversation, whole.messages));
    enlist(whole.conversation);
    tabs.tell({ type: "conversation", id });
    open(id);
  };
  announce(w.deleted(whole.conversation.title));
  show({ text: w.deleted(whole.conversation.title), action: { label: w.undo, run: () => void undo() } });
}

export async function removeAll(): Promise<void> {
  clear();
  await guarded(store.clear());
  tabs.tell({ type: "cleared" });
}

/** The ids of conversations whose title or messages have these words. */
export async function search(wanted: string): Promise<Set<string>> {
  const found = await store.search(wanted).catch(() => new Set<string>());
  const lower = wanted.toLowerCase();
  for (const { id, title } of conversations.peek()) if (title.toLowerCase().includes(lower)) found.add(id);
  return found;
}

export async function wholeOf(id: string): Promise<Whole | undefined> {
  const thread = threads.get(id);
  if (thread !== undefined) return { conversation: thread.conversation.peek(), messages: thread.messages() };
  const conversation = await store.conversation(id);
  return conversation && { conversation, messages: await store.messages(id) };
}

export async function allWholes(): Promise<Whole[]> {
  const wholes = await Promise.all(conversations.peek().map(({ id }) => wholeOf(id)));
  return wholes.filter((whole) => whole !== undefined);
}

/** Takes in the text of an export, all of it or nothing. */
export async function importText(text: string): Promise<void> {
  const w = words.peek();
  let wholes: Whole[];
  try {
    wholes = parseExport(text);
  } catch (error) {
    if (!(error instanceof ImportRefused)) throw error;
    return show({ text: w.importRefused(error.message) });
  }
  let here = 0;
  for (const whole of wholes) {
    const known = conversations.peek().find(({ id }) => id === whole.conversation.id);
    if (known?.changedAt === whole.conversation.changedAt) {
      here += 1;
      continue;
    }
    // An id that is not ours, or that stands for another state of the conversation, is not used.
    const { conversation, messages } = withNewIds(whole);
    const kept = known === undefined ? { conversation: { ...conversation, id: whole.conversation.id }, messages } : { conversation, messages };
    const owned = kept.messages.map((message) => ({ ...message, conversation: kept.conversation.id }));
    await guarded(store.put(kept.conversation, owned));
    enlist(kept.conversation);
    tabs.tell({ type: "conversation", id: kept.conversation.id });
  }
  show({ text: w.imported(wholes.length - here, here) });
}

async function hear(news: News): Promise<void> {
  if (news.type === "cleared") return clear();
  if (news.type === "removed") return forget(news.id);
  if (news.type === "message") {
    const thread = threads.get(news.conversation);
    const message = thread && (await store.message(news.id));
    if (message !== undefined && !receives(message.id)) thread?.put(message);
    return;
  }
  const conversation = await store.conversation(news.id);
  if (conversation === undefined) return;
  enlist(conversation);
  const thread = threads.get(news.id);
  if (thread !== undefined) thread.conversation.value = conversation;
}

function enlist(conversation: Conversation): void {
  conversations.value = sorted([conversation, ...conversations.peek().filter(({ id }) => id !== conversation.id)]);
}

function forget(id: string): void {
  const thread = threads.get(id);
  // An answer that is still being received must not bring the conversation back.
  if (thread !== undefined) thread.isDeleted = true;
  stopAll(id);
  threads.delete(id);
  conversations.value = conversations.peek().filter((conversation) => conversation.id !== id);
  if (current.peek().id === id) openNew();
}

function clear(): void {
  for (const { id } of conversations.peek()) forget(id);
  openNew();
}

function sorted(list: readonly Conversation[]): Conversation[] {
  return [...list].sort((a, b) => b.changedAt - a.changedAt);
}

/** The browser's storage may be full, or be taken away at any time. */
async function guarded(write: Promise<void>): Promise<void> {
  try {
    await write;
  } catch {
    show({ text: words.peek().notKept });
  }
}
