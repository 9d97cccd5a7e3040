// One message: its text, the ways through its versions, and what can be done with it.

import { useEffect, useLayoutEffect, useRef, useState } from "preact/hooks";
import { answer, answerAgain, sendEdited } from "../chat/answers";
import { keep } from "../chat/chats";
import type { Message } from "../chat/conversation";
import { running } from "../chat/running";
import type { Thread } from "../chat/thread";
import { words } from "../words";
import { AnswerText, Ending, FiguresLine } from "./answer";
import { grow, sends } from "./composer";
import { offersRetry } from "./failure";
import { CopyButton } from "./copy";
import { Icon, type IconName } from "./icons";
import { editing, focusComposer } from "./state";

interface Place {
  thread: Thread;
  message: Message;
  isLast: boolean;
}

export function MessageView({ thread, id, isLast }: { thread: Thread; id: string; isLast: boolean }) {
  const w = words.value;
  const message = thread.node(id)?.value;
  if (message === undefined) return null;
  const place = { thread, message, isLast };
  return (
    <article class={`message ${message.role}${isLast ? " last" : ""}`}>
      <h2 class="visually-hidden">{message.role === "user" ? w.you : w.assistant}</h2>
      {message.role === "user" ? <UserMessage {...place} /> : <Answer {...place} />}
    </article>
  );
}

function UserMessage({ thread, message, isLast }: Place) {
  const w = words.value;
  const busy = running.value.has(thread.id);
  if (editing.value === message.id) return <Editor thread={thread} message={message} />;
  return (
    <>
      <div class="bubble">{message.text}</div>
      <div class="tools">
        <Versions thread={thread} message={message} />
        <CopyButton text={() => message.text} label={w.copyMessage} />
        <Tool icon="edit" label={w.edit} disabled={busy} run={() => (editing.value = message.id)} />
      </div>
      {isLast && !busy && (
        <div class="ending">
          <button type="button" class="secondary" onClick={() => answer(thread, message)}>
            {w.getAnswer}
          </button>
        </div>
      )}
    </>
  );
}

function Answer({ thread, message, isLast }: Place) {
  const w = words.value;
  const busy = running.value.has(thread.id);
  const streaming = message.standing === "streaming";
  return (
    <>
      <AnswerText message={message} />
      {!streaming && <Ending thread={thread} message={message} isLast={isLast} />}
      {!streaming && (
        <div class="tools">
          <Versions thread={thread} message={message} />
          {message.text !== "" && <CopyButton text={() => message.text} label={w.copyAnswer} />}
          {!offersRetry(message, isLast) && <Tool icon="again" label={w.regenerate} disabled={busy} run={() => answerAgain(thread, message)} />}
          <FiguresLine message={message} />
        </div>
      )}
    </>
  );
}

function Tool({ icon, label, disabled, run }: { icon: IconName; label: string; disabled: boolean; run: () => void }) {
  return (
    <button type="button" class="tool" aria-label={label} title={label} disabled={disabled} onClick={run}>
      <Icon name={icon} />
    </button>
  );
}

/** ‹ 2/3 › */
function Versions({ thread, message }: { thread: Thread; message: Message }) {
  const w = words.value;
  const siblings = thread.siblings(message.id);
  if (siblings.length < 2) return null;
  const at = siblings.indexOf(message.id);
  const show = (id: string | undefined) => {
    if (id !== undefined) void keep(thread, { chosen: thread.choosing(id) });
  };
  // At an end the button stays reachable, so that the focus is not lost there.
  const step = (icon: "left" | "right", label: string, to: string | undefined) => (
    <button type="button" class="tool" aria-label={label} title={label} aria-disabled={to === undefined} onClick={() => show(to)}>
      <Icon name={icon} />
    </button>
  );
  return (
    <span class="versions" role="group" aria-label={w.versionLabel(at + 1, siblings.length)}>
      {step("left", w.previousVersion, siblings[at - 1])}
      <span aria-hidden="true">{w.versionOf(at + 1, siblings.length)}</span>
      {step("right", w.nextVersion, siblings[at + 1])}
    </span>
  );
}

function Editor({ thread, message }: { thread: Thread; message: Message }) {
  const w = words.value;
  const field = useRef<HTMLTextAreaElement>(null);
  const [text, setText] = useState(message.text);
  const close = () => {
    editing.value = undefined;
    focusComposer();
  };
  useLayoutEffect(() => {
    field.current?.focus();
    field.current?.setSelectionRange(text.length, text.length);
  }, []);
  useEffect(() => grow(field.current), [text]);
  const submit = () => {
    if (text.trim() === "" || running.peek().has(thread.id)) return;
    close();
    sendEdited(thread, message, text.trim());
  };
  const press = (event: KeyboardEvent) => {
    if (event.key !== "Escape" && !sends(event)) return;
    event.preventDefault();
    if (event.key === "Escape") close();
    else submit();
  };
  return (
    <form class="editor" onSubmit={(event) => { event.preventDefault(); submit(); }}>
      <textarea ref={field} rows={1} aria-label={w.edit} value={text} onInput={(event) => setText(event.currentTarget.value)} onKeyDown={press} />
      <div class="buttons">
        <button type="button" class="secondary" onClick={close}>
          {w.cancel}
        </button>
        <button type="submit" class="primary" disabled={text.trim() === ""}>
          {w.saveAndSend}
        </button>
      </div>
    </form>
  );
}
