// The line above a chat: its title, the model that answers, and its settings. Below it, what is wrong with the server.

import { keep } from "../chat/chats";
import { modelFor, models, modelsFailure } from "../chat/models";
import { beginning } from "../chat/settings";
import type { Thread } from "../chat/thread";
import { words } from "../words";
import { KeyForm } from "./failure";
import { Icon } from "./icons";
import { beginChat, dialog, focusOn, narrow, SEARCH, showSidebar, sidebarShown } from "./state";

export function Header({ thread }: { thread: Thread }) {
  const w = words.value;
  const { title } = thread.conversation.value;
  const shown = sidebarShown();
  const toggle = () => {
    showSidebar(!shown);
    if (!shown) focusOn(SEARCH);
  };
  return (
    <header class="header">
      <button type="button" class="tool menu" aria-label={shown ? w.hideSidebar : w.showSidebar} title={shown ? w.hideSidebar : w.showSidebar} aria-expanded={shown} aria-controls="sidebar" onClick={toggle}>
        <Icon name="menu" />
      </button>
      <h1 class="title">{title || w.newChat}</h1>
      <ModelPicker thread={thread} />
      <button type="button" class="tool" aria-label={w.chatSettings} title={w.chatSettings} onClick={() => (dialog.value = "chat")}>
        <Icon name="sliders" />
      </button>
      {(!shown || narrow.value) && (
        <button type="button" class="tool" aria-label={w.newChat} title={w.newChat} onClick={beginChat}>
          <Icon name="plus" />
        </button>
      )}
    </header>
  );
}

export function ModelPicker({ thread, id }: { thread: Thread; id?: string }) {
  const w = words.value;
  const chosen = modelFor(thread.conversation.value.model);
  const choose = (model: string) => {
    beginning.value = { ...beginning.peek(), model };
    void keep(thread, { model });
  };
  return (
    <span class="picker">
      <select id={id} aria-label={w.model} title={w.model} value={chosen?.id ?? ""} disabled={models.value.length === 0} onChange={(event) => choose(event.currentTarget.value)}>
        {models.value.length === 0 && <option value="">{w.noModels}</option>}
        {models.value.map((model) => (
          <option key={model.id} value={model.id}>
            {model.id}
          </option>
        ))}
      </select>
      <Icon name="chevron" />
    </span>
  );
}

/** Said as long as it is so: the page asks again by itself. */
export function ServerState() {
  const w = words.value;
  const failure = modelsFailure.value;
  if (failure === undefined) return null;
  return (
    <div class="banner" role="status">
      <p>
        {w.failures[failure.kind]} {failure.kind !== "key" && w.retrying}
      </p>
      {failure.kind === "key" && <KeyForm />}
    </div>
  );
}
