// What is open on the screen, and where the focus goes.

import { signal } from "@preact/signals";
import { openNew } from "../chat/chats";
import { sidebarOpen } from "../chat/settings";

export type DialogName = "chat" | "settings" | "shortcuts";

export const dialog = signal<DialogName | undefined>(undefined);
/** The message whose text is being edited. */
export const editing = signal<string | undefined>(undefined);
/** On a narrow screen the list of chats lies over the page, and is closed at first. */
export const drawerOpen = signal(false);

const narrowScreen = matchMedia("(max-width: 52rem)");
export const narrow = signal(narrowScreen.matches);
narrowScreen.addEventListener("change", () => {
  narrow.value = narrowScreen.matches;
  drawerOpen.value = false;
});

/** A screen that is touched and has no mouse: focus brings up a keyboard that hides half of it. */
export function isTouched(): boolean {
  return matchMedia("(hover: none) and (pointer: coarse)").matches;
}

export const COMPOSER = "composer";
export const SEARCH = "search";

export function focusOn(id: string): void {
  const before = document.activeElement;
  // What is to get the focus may only come with the next drawing. Whoever went elsewhere until then is left there.
  requestAnimationFrame(() => {
    const now = document.activeElement;
    if (now === before || now === null || now === document.body) document.getElementById(id)?.focus();
  });
}

export function focusComposer(): void {
  if (!isTouched()) focusOn(COMPOSER);
}

export function sidebarShown(): boolean {
  return narrow.value ? drawerOpen.value : sidebarOpen.value;
}

export function showSidebar(shown: boolean): void {
  if (narrow.peek()) drawerOpen.value = shown;
  else sidebarOpen.value = shown;
}

export function beginChat(): void {
  editing.value = undefined;
  drawerOpen.value = false;
  openNew();
  focusComposer();
}
