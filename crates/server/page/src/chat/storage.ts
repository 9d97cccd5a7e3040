// Conversations and messages in the browser's IndexedDB, or in memory where there is none.
//
// Only what `transfer.ts` would accept is handed out, so a record that another version left cannot break the page.

import type { Conversation, Message } from "./conversation";
import { checkedConversation, checkedMessage } from "./transfer";

export interface Store {
  /** Does it outlive the page? */
  lasting: boolean;
  conversations(): Promise<Conversation[]>;
  conversation(id: string): Promise<Conversation | undefined>;
  messages(conversation: string): Promise<Message[]>;
  message(id: string): Promise<Message | undefined>;
  put(conversation: Conversation, messages: readonly Message[]): Promise<void>;
  putMessage(message: Message): Promise<void>;
  removeMessage(id: string): Promise<void>;
  remove(conversation: string): Promise<void>;
  clear(): Promise<void>;
  /** The conversations with a message in which these words stand. */
  search(words: string): Promise<Set<string>>;
}

const NAME = "kun";
const VERSION = 1;
const OPEN_MS_MAX = 4000;

export async function openStore(): Promise<Store> {
  try {
    return new BrowserStore(await openDatabase());
  } catch {
    return new MemoryStore();
  }
}

function openDatabase(): Promise<IDBDatabase> {
  return new Promise((resolve, reject) => {
    // Some browsers never answer in private windows.
    setTimeout(() => reject(new Error("the browser's database does not open")), OPEN_MS_MAX);
    const request = indexedDB.open(NAME, VERSION);
    request.onupgradeneeded = () => {
      request.result.createObjectStore("conversations", { keyPath: "id" });
      const messages = request.result.createObjectStore("messages", { keyPath: "id" });
      messages.createIndex("conversation", "conversation");
    };
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
    request.onblocked = () => reject(new Error("another tab holds an older database"));
  });
}

class BrowserStore implements Store {
  lasting = true;
  constructor(private readonly database: IDBDatabase) {
    // A later version of the page may want to change the database: do not stand in its way.
    database.onversionchange = () => database.close();
  }

  async conversations(): Promise<Conversation[]> {
    const rows = await answered(this.#store("conversations").getAll());
    return rows.map(checkedConversation).filter((row) => row !== undefined);
  }

  async conversation(id: string): Promise<Conversation | undefined> {
    return checkedConversation(await answered(this.#store("conversations").get(id)));
  }

  async messages(conversation: string): Promise<Message[]> {
    const rows = await answered(this.#store("messages").index("conversation").getAll(conversation));
    return rows.map(checkedMessage).filter((row) => row !== undefined);
  }

  async message(id: string): Promise<Message | undefined> {
    return checkedMessage(await answered(this.#store("messages").get(id)));
  }

  put(conversation: Conversation, messages: readonly Message[]): Promise<void> {
    return this.#write((conversations, all) => {
      conversations.put(conversation);
      for (const message of messages) all.put(message);
    });
  }

  putMessage(message: Message): Promise<void> {
    return this.#write((_, messages) => messages.put(message));
  }

  removeMessage(id: string): Promise<void> {
    return this.#change((_, messages) => messages.delete(id));
  }

  remove(conversation: string): Promise<void> {
    return this.#change((conversations, messages) => {
      conversations.delete(conversation);
      const keys = messages.index("conversation").getAllKeys(conversation);
      keys.onsuccess = () => {
        for (const key of keys.result) messages.delete(key);
      };
    });
  }

  clear(): Promise<void> {
    return this.#change((conversations, messages) => {
      conversations.clear();
      messages.clear();
    });
  }

  search(words: string): Promise<Set<string>> {
    const found = new Set<string>();
    const wanted = words.toLowerCase();
    return new Promise((resolve, reject) => {
      const request = this.#store("messages").openCursor();
      request.onerror = () => reject(request.error);
      request.onsuccess = () => {
        const cursor = request.result;
        if (cursor === null) return resolve(found);
        const { conversation, text } = cursor.value as Message;
        if (!found.has(conversation) && text.toLowerCase().includes(wanted)) found.add(conversation);
        cursor.continue();
      };
    });
  }

  #store(name: string): IDBObjectStore {
    return this.database.transaction(name).objectStore(name);
  }

  /**
   * A change that is whole when `change` returns. It is committed at once: else the browser waits for this page to hear
   * that each part was taken, and what a page writes while it is closed would be lost.
   */
  #write(change: Change): Promise<void> {
    return this.#change((conversations, messages) => {
      change(conversations, messages);
      conversations.transaction.commit();
    });
  }

  #change(change: Change): Promise<void> {
    const transaction = this.database.transaction(["conversations", "messages"], "readwrite");
    return new Promise((resolve, reject) => {
      transaction.oncomplete = () => resolve();
      transaction.onerror = () => reject(transaction.error);
      transaction.onabort = () => reject(transaction.error);
      change(transaction.objectStore("conversations"), transaction.objectStore("messages"));
    });
  }
}

type Change = (conversations: IDBObjectStore, messages: IDBObjectStore) => unknown;

function answered<T>(request: IDBRequest<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
}

class MemoryStore implements Store {
  lasting = false;
  readonly #conversations = new Map<string, Conversation>();
  readonly #messages = new Map<string, Message>();

  async conversations(): Promise<Conversation[]> {
    return [...this.#conversations.values()];
  }

  async conversation(id: string): Promise<Conversation | undefined> {
    return this.#conversations.get(id);
  }

  async messages(conversation: string): Promise<Message[]> {
    return [...this.#messages.values()].filter((message) => message.conversation === conversation);
  }

  async message(id: string): Promise<Message | undefined> {
    return this.#messages.get(id);
  }

  async put(conversation: Conversation, messages: readonly Message[]): Promise<void> {
    this.#conversations.set(conversation.id, conversation);
    for (const message of messages) this.#messages.set(message.id, message);
  }

  async putMessage(message: Message): Promise<void> {
    this.#messages.set(message.id, message);
  }

  async removeMessage(id: string): Promise<void> {
    this.#messages.delete(id);
  }

  async remove(conversation: string): Promise<void> {
    this.#conversations.delete(conversation);
    for (const message of await this.messages(conversation)) this.#messages.delete(message.id);
  }

  async clear(): Promise<void> {
    this.#conversations.clear();
    this.#messages.clear();
  }

  async search(words: string): Promise<Set<string>> {
    const wanted = words.toLowerCase();
    const found = [...this.#messages.values()].filter((message) => message.text.toLowerCase().includes(wanted));
    return new Set(found.map((message) => message.conversation));
  }
}
