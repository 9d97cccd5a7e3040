// The whole page: the list of chats, the chat, the field to write in, and what may lie above them.

import { useEffect, useLayoutEffect } from "preact/hooks";
import { conversations, current, lasting } from "../chat/chats";
import { announcement } from "../chat/notices";
import { running } from "../chat/running";
import { words } from "../words";
import { ChatSettings } from "./chat-settings";
import { Composer } from "./composer";
import { Header, ServerState } from "./header";
import { NoticeView } from "./notice";
import { Settings } from "./settings";
import { Shortcuts } from "./shortcuts";
import { Sidebar } from "./sidebar";
import { COMPOSER, dialog, drawerOpen, editing, focusComposer, narrow, sidebarShown } from "./state";
import { ThreadView } from "./thread";
import { Welcome } from "./welcome";

export function App() {
  const w = words.value;
  const thread = current.value;
  const covered = narrow.value && drawerOpen.value;
  const title = thread.conversation.value.title;
  const busy = running.value.has(thread.id);
  useEffect(() => {
    document.title = `${busy ? "● " : ""}${title === "" ? "" : `${title} · `}Kun`;
  }, [title, busy]);
  // At once and not after the next frame: another field may be typed into before that.
  useLayoutEffect(() => {
    editing.value = undefined;
    focusComposer();
  }, [thread.id]);
  return (
    <div class={`page${sidebarShown() ? " with-sidebar" : ""}`}>
      <a class="skip" href={`#${COMPOSER}`} onClick={skip}>
        {w.skip}
      </a>
      <Sidebar conversations={conversations.value} />
      {covered && <div class="scrim" onClick={() => (drawerOpen.value = false)} />}
      {/* Behind the open drawer nothing can be reached. */}
      <main class="main" inert={covered}>
        <Header thread={thread} />
        <ServerState />
        {!lasting.value && <p class="banner">{w.notLasting}</p>}
        {thread.isEmpty ? <Welcome /> : <ThreadView key={thread.id} thread={thread} />}
        <Composer key={`composer ${thread.id}`} thread={thread} />
      </main>
      {dialog.value === "chat" && <ChatSettings thread={thread} />}
      {dialog.value === "settings" && <Settings />}
      {dialog.value === "shortcuts" && <Shortcuts />}
      {dialog.value === undefined && <NoticeView />}
      <div class="visually-hidden" role="status" aria-live="polite">
        {announcement.value}
      </div>
    </div>
  );
}

/** The address is the conversation's: it must not become that of the field. */
function skip(event: Event): void {
  event.preventDefault();
  document.getElementById(COMPOSER)?.focus();
}
