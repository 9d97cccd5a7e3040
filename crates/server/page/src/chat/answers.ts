// Asking for answers: sending, editing, asking again, and what becomes of an answer in the end.

import { type ChatRequest, streamChat } from "./api";
import { dropMessage, keep, keepMessage } from "./chats";
import { type Message, newId, titleOf, wireMessages } from "./conversation";
import { type Failure, RequestFailed } from "./failure";
import { modelFor, modelsFailure, refreshModels } from "./models";
import { announce } from "./notices";
import { Receipt } from "./receipt";
import { begin, finish, keepRunning, running, stopAll } from "./running";
import { apiKey } from "./settings";
import type { Thread } from "./thread";
import { words } from "../words";

const ANNOUNCED_CHARS_MAX = 2000;

export function startAnswers(): void {
  // The last chance before a page is closed, reloaded or put to sleep on a phone.
  window.addEventListener("pagehide", keepRunning);
  document.addEventListener("visibilitychange", keepRunning);
}

/** Adds the user's message at the end of the path and asks for an answer. */
export function send(thread: Thread, text: string): void {
  ask(thread, text, thread.path.peek().at(-1) ?? null);
}

/** Puts another text in the place of a message of the user's, beside it, and asks for an answer. */
export function sendEdited(thread: Thread, message: Message, text: string): void {
  ask(thread, text, message.parent);
}

function ask(thread: Thread, text: string, parent: string | null): void {
  if (running.peek().has(thread.id)) return;
  const message: Message = { ...newMessage(thread, parent), role: "user", text };
  thread.put(message);
  const title = thread.conversation.peek().title || titleOf(text);
  void keep(thread, { title, chosen: thread.choosing(message.id), changedAt: message.at }, [message]);
  void receive(thread, message.id);
}

/** Asks for another answer, which stands beside this one; in its place, if it is empty. */
export function answerAgain(thread: Thread, answer: Message): void {
  if (answer.parent === null || running.peek().has(thread.id)) return;
  if (answer.text === "" && !answer.thinking) void dropMessage(thread, answer.id);
  void receive(thread, answer.parent);
}

/** Asks for the answer to a message that has none. */
export function answer(thread: Thread, message: Message): void {
  if (!running.peek().has(thread.id)) void receive(thread, message.id);
}

export function stop(thread: Thread): void {
  stopAll(thread.id);
}

async function receive(thread: Thread, parent: string): Promise<void> {
  const message: Message = { ...newMessage(thread, parent), role: "assistant", text: "", standing: "streaming" };
  thread.put(message);
  const receipt = new Receipt(message, (now) => thread.put(now), (now) => void keepMessage(thread, now));
  const controller = new AbortController();
  const answer = { receipt, controller };
  begin(thread.id, answer);
  void keep(thread, { chosen: thread.choosing(message.id), changedAt: message.at }, [message]);
  announce(words.peek().answering);
  const failure = await received(thread, parent, receipt, controller.signal);
  const stopped = controller.signal.aborted;
  const ended = receipt.end(stopped ? "stopped" : failure ? "failed" : "done", stopped ? undefined : failure);
  finish(thread.id, answer);
  announceEnd(ended);
  await keep(thread, { changedAt: Date.now() }, [ended]);
}

/** Receives to the end, whatever it is, and says what went wrong. */
async function received(thread: Thread, parent: string, receipt: Receipt, signal: AbortSignal): Promise<Failure | undefined> {
  try {
    const request = await requestFor(thread, parent);
    receipt.take({ type: "model", model: request.model });
    for await (const event of streamChat(request, apiKey.peek(), signal)) receipt.take(event);
    return undefined;
  } catch (error) {
    if (signal.aborted) return undefined;
    if (error instanceof RequestFailed) return error.failure;
    // Whatever else it is, it is a mistake of the page: it must be seen, and the answer must end all the same.
    console.error(error);
    return { kind: "broken", said: "" };
  }
}

async function requestFor(thread: Thread, parent: string): Promise<ChatRequest> {
  const { model: wanted, system, sampling } = thread.conversation.peek();
  if (modelFor(wanted) === undefined) await refreshModels();
  const model = modelFor(wanted);
  if (model === undefined) throw new RequestFailed(modelsFailure.peek() ?? { kind: "model", said: "" });
  return { model: model.id, messages: wireMessages(system, thread.lineage(parent)), sampling };
}

function newMessage(thread: Thread, parent: string | null): Message {
  const before = parent === null ? 0 : (thread.message(parent)?.at ?? 0);
  // Siblings are ordered by time, and a clock may be set back.
  const at = Math.max(Date.now(), before + 1);
  return { id: newId(), conversation: thread.id, parent, role: "user", text: "", at, standing: "done" };
}

function announceEnd({ standing, text, failure }: Message): void {
  const w = words.peek();
  if (standing === "stopped") announce(w.stopped);
  else if (failure !== undefined) announce(w.failures[failure.kind]);
  else announce(`${w.answered} ${text.slice(0, ANNOUNCED_CHARS_MAX)}`);
}
