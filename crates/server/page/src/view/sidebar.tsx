// The list of chats: searched, opened, renamed and deleted, by mouse, finger or keys.
//
// The list is one stop of the Tab key; within it the arrows move.

import { useEffect, useLayoutEffect, useRef, useState } from "preact/hooks";
import { current, open, remove, rename, search } from "../chat/chats";
import type { Conversation } from "../chat/conversation";
import { running } from "../chat/running";
import { theme } from "../chat/settings";
import { TITLE_CHARS_MAX } from "../chat/transfer";
import { words, type Words } from "../words";
import { Icon } from "./icons";
import { beginChat, dialog, drawerOpen, focusComposer, narrow, SEARCH, sidebarShown } from "./state";
import { isDark } from "./theme";

const SEARCH_MS = 150;

export function Sidebar({ conversations }: { conversations: readonly Conversation[] }) {
  const w = words.value;
  const [wanted, setWanted] = useState("");
  const found = useSearch(wanted.trim(), conversations);
  const listed = found === undefined ? conversations : conversations.filter(({ id }) => found.has(id));
  const shown = sidebarShown();
  return (
    <nav id="sidebar" class="sidebar" aria-label={w.chats} inert={!shown}>
      <div class="sidebar-top">
        <img src="icon.svg" alt="" width="24" height="24" />
        <span class="brand">Kun</span>
        {narrow.value && (
          <button type="button" class="tool" aria-label={w.hideSidebar} title={w.hideSidebar} onClick={() => (drawerOpen.value = false)}>
            <Icon name="close" />
          </button>
        )}
      </div>
      <div class="sidebar-begin">
        <button type="button" class="new-chat" onClick={beginChat}>
          <Icon name="plus" />
          <span>{w.newChat}</span>
        </button>
      </div>
      <div class="search">
        <Icon name="search" />
        <input
          id={SEARCH}
          type="search"
          aria-label={w.searchChats}
          placeholder={w.searchChats}
          value={wanted}
          onInput={(event) => setWanted(event.currentTarget.value)}
          onKeyDown={(event) => {
            if (event.key === "ArrowDown") focusRow(event, 0);
          }}
        />
      </div>
      <List listed={listed} empty={found === undefined ? w.noChats : w.noneFound} />
      <Foot />
    </nav>
  );
}

/** The ids of the chats that are searched for; nothing if none are. */
function useSearch(wanted: string, conversations: readonly Conversation[]): Set<string> | undefined {
  const [found, setFound] = useState<Set<string> | undefined>(undefined);
  useEffect(() => {
    if (wanted === "") return setFound(undefined);
    let outdated = false;
    const run = async () => {
      const ids = await search(wanted);
      if (!outdated) setFound(ids);
    };
    const timer = setTimeout(() => void run(), SEARCH_MS);
    return () => {
      outdated = true;
      clearTimeout(timer);
    };
  }, [wanted, conversations.length]);
  return found;
}

function List({ listed, empty }: { listed: readonly Conversation[]; empty: string }) {
  const w = words.value;
  const shownId = current.value.id;
  // The chat that is shown is where Tab enters the list.
  const entry = listed.some(({ id }) => id === shownId) ? shownId : listed[0]?.id;
  return (
    <div class="chats">
      {listed.length === 0 && <p class="empty">{empty}</p>}
      {grouped(listed, w).map(([label, group]) => (
        <section key={label}>
          <h2>{label}</h2>
          <ul>
            {group.map((conversation) => (
              <Row key={conversation.id} conversation={conversation} isShown={conversation.id === shownId} isEntry={conversation.id === entry} />
            ))}
          </ul>
        </section>
      ))}
    </div>
  );
}

function Row({ conversation, isShown, isEntry }: { conversation: Conversation; isShown: boolean; isEntry: boolean }) {
  const w = words.value;
  const { id, title } = conversation;
  const [renaming, setRenaming] = useState(false);
  const row = useRef<HTMLButtonElement>(null);
  if (renaming) {
    const done = () => {
      setRenaming(false);
      requestAnimationFrame(() => row.current?.focus());
    };
    return (
      <li class="chat">
        <TitleField id={id} title={title} done={done} />
      </li>
    );
  }
  const enter = () => {
    open(id);
    drawerOpen.value = false;
    focusComposer();
  };
  const erase = (event: Event) => {
    focusRow(event, 1, true);
    void remove(id);
  };
  const press = (event: KeyboardEvent) => {
    if (event.key === "ArrowDown") focusRow(event, 1);
    else if (event.key === "ArrowUp") focusRow(event, -1);
    else if (event.key === "F2") setRenaming(true);
    else if (event.key === "Delete") erase(event);
    else return;
    event.preventDefault();
  };
  return (
    <li class={`chat${isShown ? " shown" : ""}`}>
      <button type="button" ref={row} class="chat-title" aria-current={isShown ? "page" : undefined} tabIndex={isEntry ? 0 : -1} title={title} onClick={enter} onKeyDown={press}>
        <span>{title || w.untitled}</span>
        {running.value.has(id) && <span class="dot" role="img" aria-label={w.stillAnswering} />}
      </button>
      <span class="chat-tools">
        <button type="button" class="tool" tabIndex={isEntry ? 0 : -1} aria-label={`${w.rename}: ${title}`} title={w.rename} onClick={() => setRenaming(true)}>
          <Icon name="edit" />
        </button>
        <button type="button" class="tool" tabIndex={isEntry ? 0 : -1} aria-label={`${w.delete}: ${title}`} title={w.delete} onClick={erase}>
          <Icon name="trash" />
        </button>
      </span>
    </li>
  );
}

function TitleField({ id, title, done }: { id: string; title: string; done: () => void }) {
  const field = useRef<HTMLInputElement>(null);
  useLayoutEffect(() => field.current?.select(), []);
  const save = () => {
    void rename(id, field.current?.value ?? "");
    done();
  };
  const press = (event: KeyboardEvent) => {
    if (event.isComposing || (event.key !== "Enter" && event.key !== "Escape")) return;
    event.preventDefault();
    if (event.key === "Escape" && field.current !== null) field.current.value = title;
    save();
  };
  return <input ref={field} class="chat-rename" aria-label={words.value.rename} defaultValue={title} maxLength={TITLE_CHARS_MAX} onKeyDown={press} onBlur={save} />;
}

function Foot() {
  const w = words.value;
  const dark = isDark.value;
  const toggle = () => (theme.value = dark ? "light" : "dark");
  return (
    <div class="sidebar-foot">
      <button type="button" class="tool" aria-label={w.settings} title={w.settings} onClick={() => (dialog.value = "settings")}>
        <Icon name="gear" />
      </button>
      <button type="button" class="tool" aria-label={dark ? w.toLight : w.toDark} title={dark ? w.toLight : w.toDark} onClick={toggle}>
        <Icon name={dark ? "sun" : "moon"} />
      </button>
      <button type="button" class="tool" aria-label={w.shortcuts} title={`${w.shortcuts} (?)`} onClick={() => (dialog.value = "shortcuts")}>
        <Icon name="keyboard" />
      </button>
    </div>
  );
}

/** Moves the focus among the titles, by so many from the one that has it; a deleted one leaves it to its neighbour. */
function focusRow(event: Event, step: number, leaving = false): void {
  const titles = [...document.querySelectorAll<HTMLElement>(".chat-title")];
  const row = event.currentTarget instanceof HTMLElement ? event.currentTarget.closest(".chat")?.querySelector<HTMLElement>(".chat-title") : undefined;
  const at = row ? titles.indexOf(row) + step : 0;
  event.preventDefault();
  if (at < 0) return document.getElementById(SEARCH)?.focus();
  (titles[at] ?? (leaving ? titles[at - 2] : undefined))?.focus();
}

const DAY_MS = 86_400_000;

function grouped(listed: readonly Conversation[], w: Words): [string, Conversation[]][] {
  const midnight = new Date().setHours(0, 0, 0, 0);
  const groups: [string, number, Conversation[]][] = [
    [w.today, midnight, []],
    [w.yesterday, midnight - DAY_MS, []],
    [w.thisWeek, midnight - 7 * DAY_MS, []],
    [w.earlier, -Infinity, []],
  ];
  for (const one of listed) groups.find(([, since]) => one.changedAt >= since)?.[2].push(one);
  return groups.filter(([, , group]) => group.length > 0).map(([label, , group]) => [label, group]);
}
