// The shortcuts that work anywhere on the page. Those of one place, the message field or the list, are handled there.

import { answerAgain, stop } from "../chat/answers";
import { current } from "../chat/chats";
import { running } from "../chat/running";
import { beginChat, COMPOSER, dialog, drawerOpen, focusOn, SEARCH, showSidebar, sidebarShown } from "./state";

const isMac = /Mac|iP(hone|ad)/.test(navigator.platform);

/** The keys as they are shown, by their names in the words. */
export const KEYS: readonly (readonly [name: ShortcutName, keys: readonly string[]])[] = [
  ["send", ["Enter"]],
  ["newline", ["Shift", "Enter"]],
  ["stop", ["Esc"]],
  ["editLast", ["↑"]],
  ["regenerate", [isMac ? "⌘" : "Ctrl", "Shift", "Enter"]],
  ["newChat", [isMac ? "⌘" : "Ctrl", "Shift", "O"]],
  ["search", [isMac ? "⌘" : "Ctrl", "K"]],
  ["chatSettings", [isMac ? "⌘" : "Ctrl", "."]],
  ["sidebar", [isMac ? "⌘" : "Ctrl", "B"]],
  ["composer", ["/"]],
  ["list", ["↑", "↓"]],
  ["rename", ["F2"]],
  ["delete", ["Del"]],
  ["shortcuts", ["?"]],
];

export type ShortcutName =
  | "send"
  | "newline"
  | "stop"
  | "editLast"
  | "regenerate"
  | "newChat"
  | "search"
  | "chatSettings"
  | "sidebar"
  | "composer"
  | "list"
  | "rename"
  | "delete"
  | "shortcuts";

export function listenToKeys(): void {
  document.addEventListener("keydown", (event) => {
    // An open dialog has its own keys, and an input method comes first.
    if (event.defaultPrevented || event.isComposing || document.querySelector("dialog[open]") !== null) return;
    const run = shortcut(event);
    if (run === undefined) return;
    event.preventDefault();
    run();
  });
}

function shortcut(event: KeyboardEvent): (() => void) | undefined {
  const key = event.key.toLowerCase();
  if ((event.ctrlKey || event.metaKey) && !event.altKey) return withControl(key, event.shiftKey);
  if (event.altKey) return undefined;
  if (key === "escape") return escape();
  if (isWriting(event.target)) return undefined;
  if (key === "?") return () => (dialog.value = "shortcuts");
  if (key === "/") return () => focusOn(COMPOSER);
  return undefined;
}

function withControl(key: string, shift: boolean): (() => void) | undefined {
  if (shift) {
    if (key === "o") return beginChat;
    if (key === "enter") return regenerateLast;
    return undefined;
  }
  if (key === "k") {
    return () => {
      showSidebar(true);
      focusOn(SEARCH);
    };
  }
  if (key === ".") return () => (dialog.value = "chat");
  if (key === "/") return () => (dialog.value = "shortcuts");
  if (key === "b") return () => showSidebar(!sidebarShown());
  return undefined;
}

function escape(): (() => void) | undefined {
  if (drawerOpen.peek()) return () => (drawerOpen.value = false);
  const thread = current.peek();
  return running.peek().has(thread.id) ? () => stop(thread) : undefined;
}

function regenerateLast(): void {
  const thread = current.peek();
  const last = thread.message(thread.path.peek().at(-1) ?? "");
  if (last?.role === "assistant") answerAgain(thread, last);
}

function isWriting(target: EventTarget | null): boolean {
  return target instanceof HTMLElement && target.matches("input, textarea, select, [contenteditable]");
}
