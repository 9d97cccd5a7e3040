// The field to write in. What is in it survives a reload; Enter sends it, unless an input method is at work.

import { useEffect, useLayoutEffect, useRef } from "preact/hooks";
import { type Signal, signal } from "@preact/signals";
import { send, stop } from "../chat/answers";
import { modelFor } from "../chat/models";
import { running } from "../chat/running";
import { draftOf, keepDraft } from "../chat/settings";
import type { Thread } from "../chat/thread";
import { number, words } from "../words";
import { Icon, StopIcon } from "./icons";
import { COMPOSER, editing, focusComposer, focusOn, isTouched } from "./state";

const text: Signal<string> = signal("");

/** Puts a text into the field, to be sent or changed. */
export function setComposerText(next: string): void {
  text.value = next;
  focusOn(COMPOSER);
}

export function Composer({ thread }: { thread: Thread }) {
  const w = words.value;
  const field = useRef<HTMLTextAreaElement>(null);
  const busy = running.value.has(thread.id);
  // A conversation that does not exist yet has no id that would be known after a reload.
  const draftName = thread.isEmpty ? "" : thread.id;
  // At once and not after the next frame: a letter may be typed before that.
  useLayoutEffect(() => {
    text.value = draftOf(draftName);
  }, []);
  useEffect(() => keepDraft(draftName, text.value), [text.value]);
  useEffect(() => grow(field.current), [text.value]);
  const submit = () => {
    const message = text.peek().trim();
    if (message === "" || busy) return;
    keepDraft(draftName, "");
    text.value = "";
    send(thread, message);
  };
  const press = () => {
    if (busy) stop(thread);
    else submit();
    focusComposer();
  };
  const pressKey = (event: KeyboardEvent) => {
    if (event.key === "ArrowUp" && text.peek() === "" && !busy && editLast(thread)) event.preventDefault();
    if (!sends(event) || isTouched()) return;
    event.preventDefault();
    submit();
  };
  return (
    <div class="composer">
      <form class="composer-box" onSubmit={(event) => { event.preventDefault(); submit(); }}>
        <textarea
          id={COMPOSER}
          ref={field}
          rows={1}
          aria-label={w.message}
          aria-describedby="composer-hint"
          placeholder={w.placeholder}
          value={text.value}
          onInput={(event) => (text.value = event.currentTarget.value)}
          onKeyDown={pressKey}
        />
        {/* One button for both, and never disabled for the browser, so that the focus stays on it. */}
        <button
          type="button"
          class="send"
          aria-label={busy ? w.stop : w.send}
          title={busy ? w.stop : w.send}
          aria-disabled={!busy && text.value.trim() === ""}
          onClick={press}
        >
          {busy ? <StopIcon /> : <Icon name="send" />}
        </button>
      </form>
      <p class="hint" id="composer-hint">
        <span class="hint-keys">{w.composerHint}</span>
        <ContextUse thread={thread} />
      </p>
    </div>
  );
}

/** How much of what the model can read the chat has filled, as far as the last answer told. */
function ContextUse({ thread }: { thread: Thread }) {
  const context = modelFor(thread.conversation.value.model)?.contextTokens;
  const figures = thread.node(thread.path.value.at(-1) ?? "")?.value.figures;
  if (context === undefined || figures?.promptTokens === undefined) return null;
  const used = figures.promptTokens + (figures.answerTokens ?? 0);
  return <span class={used > context * 0.85 ? "nearly-full" : ""}>{words.value.contextUse(number(used), number(context))}</span>;
}

/** Does this key send? Not while an input method composes; Safari says so only by the old code 229. */
export function sends(event: KeyboardEvent): boolean {
  const plain = !event.shiftKey && !event.ctrlKey && !event.metaKey && !event.altKey;
  return event.key === "Enter" && plain && !event.isComposing && event.keyCode !== 229;
}

/** Makes a field as high as its text, where the style sheet can't. */
export function grow(field: HTMLTextAreaElement | null): void {
  if (field === null || CSS.supports("field-sizing", "content")) return;
  field.style.height = "auto";
  field.style.height = `${field.scrollHeight}px`;
}

function editLast(thread: Thread): boolean {
  const last = thread.path.peek().findLast((id) => thread.message(id)?.role === "user");
  editing.value = last;
  return last !== undefined;
}
