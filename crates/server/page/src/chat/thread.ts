// A conversation that is open: its tree of messages, each of them observed for itself.
//
// While an answer streams, only the signal of that one message changes, and so only that one is drawn again,
// however long the conversation is.

import { computed, type ReadonlySignal, type Signal, signal } from "@preact/signals";
import type { Conversation, Message } from "./conversation";

/** The key of the first messages' parent in `children` and `chosen`. */
const ROOT = "";

export class Thread {
  /** A deleted conversation takes no more changes. */
  isDeleted = false;
  readonly conversation: Signal<Conversation>;
  readonly #nodes = new Map<string, Signal<Message>>();
  readonly #children = new Map<string, string[]>();
  /** Counts the changes of the tree, for whoever looks at more than one message. */
  readonly #shape = signal(0);

  /** The ids of the messages that are shown, from the first to the last. */
  readonly path: ReadonlySignal<readonly string[]> = computed(() => {
    void this.#shape.value;
    const { chosen } = this.conversation.value;
    const path: string[] = [];
    // The tree has no cycles, but a database may say anything.
    for (let at: string | undefined = this.#pick(ROOT, chosen); at !== undefined; at = this.#pick(at, chosen)) {
      if (path.push(at) > this.#nodes.size) return [];
    }
    return path;
  });

  constructor(conversation: Conversation, messages: readonly Message[]) {
    this.conversation = signal(conversation);
    for (const message of [...messages].sort((a, b) => a.at - b.at)) this.#insert(message);
  }

  get id(): string {
    return this.conversation.peek().id;
  }

  get isEmpty(): boolean {
    return this.#shape.value === 0 && this.#nodes.size === 0;
  }

  /** The message, as something to observe. */
  node(id: string): Signal<Message> | undefined {
    return this.#nodes.get(id);
  }

  message(id: string): Message | undefined {
    return this.#nodes.get(id)?.peek();
  }

  messages(): Message[] {
    return Array.from(this.#nodes.values(), (node) => node.peek());
  }

  /** The messages from the first to this one. */
  lineage(id: string | null): Message[] {
    const line: Message[] = [];
    for (let at = id === null ? undefined : this.message(id); at !== undefined && line.length < this.#nodes.size; ) {
      line.unshift(at);
      at = at.parent === null ? undefined : this.message(at.parent);
    }
    return line;
  }

  /** All messages that stand in this one's place, itself among them, oldest first. */
  siblings(id: string): readonly string[] {
    void this.#shape.value;
    return this.#children.get(this.message(id)?.parent ?? ROOT) ?? [];
  }

  /** Adds a message, or brings one up to date. */
  put(message: Message): void {
    const node = this.#nodes.get(message.id);
    if (node !== undefined) {
      node.value = message;
      return;
    }
    this.#insert(message);
    this.#shape.value += 1;
  }

  remove(id: string): void {
    const message = this.message(id);
    if (message === undefined) return;
    const siblings = this.#children.get(message.parent ?? ROOT) ?? [];
    this.#children.set(message.parent ?? ROOT, siblings.filter((other) => other !== id));
    this.#nodes.delete(id);
    this.#shape.value += 1;
  }

  /** What `chosen` is when this message is to be shown. */
  choosing(id: string): Record<string, string> {
    return { ...this.conversation.peek().chosen, [this.message(id)?.parent ?? ROOT]: id };
  }

  #pick(parent: string, chosen: Record<string, string>): string | undefined {
    const children = this.#children.get(parent);
    const wanted = Object.hasOwn(chosen, parent) ? chosen[parent] : undefined;
    return children?.find((child) => child === wanted) ?? children?.at(-1);
  }

  #insert(message: Message): void {
    this.#nodes.set(message.id, signal(message));
    const siblings = this.#children.get(message.parent ?? ROOT);
    if (siblings === undefined) this.#children.set(message.parent ?? ROOT, [message.id]);
    else siblings.push(message.id);
  }
}
