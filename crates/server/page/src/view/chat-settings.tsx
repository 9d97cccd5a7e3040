// What holds for one chat: the model, the system prompt, the sampling parameters; and the chat as a file.

import { useState } from "preact/hooks";
import { keep, wholeOf } from "../chat/chats";
import { modelFor } from "../chat/models";
import { show } from "../chat/notices";
import { PARAMETERS, type Parameter, parseParameter, type Sampling } from "../chat/sampling";
import { beginning } from "../chat/settings";
import type { Thread } from "../chat/thread";
import { exportText, markdownText } from "../chat/transfer";
import { number, words } from "../words";
import { Dialog } from "./dialog";
import { saveFile } from "./files";
import { ModelPicker } from "./header";

export function ChatSettings({ thread }: { thread: Thread }) {
  const w = words.value;
  const { model, system, sampling } = thread.conversation.value;
  const context = modelFor(model)?.contextTokens;
  // The fields begin anew when they are reset.
  const [round, setRound] = useState(0);
  const reset = () => {
    void keep(thread, { sampling: {} });
    setRound(round + 1);
  };
  const useForNew = () => {
    beginning.value = { model: modelFor(model)?.id ?? "", system, sampling };
    show({ text: w.usedForNew });
  };
  return (
    <Dialog name="chat" title={w.chatSettings} class="side">
      <div class="field">
        <label for="chat-model">{w.model}</label>
        <ModelPicker thread={thread} id="chat-model" />
        {context !== undefined && <p class="hint">{w.context(number(context))}</p>}
      </div>
      <div class="field">
        <label for="chat-system">{w.system}</label>
        <textarea id="chat-system" rows={4} aria-describedby="chat-system-hint" value={system} onInput={(event) => void keep(thread, { system: event.currentTarget.value })} />
        <p class="hint" id="chat-system-hint">
          {w.systemHint}
        </p>
      </div>
      <fieldset key={round}>
        <legend>{w.sampling}</legend>
        <p class="hint">{w.samplingHint}</p>
        {PARAMETERS.map((parameter) => (
          <ParameterField key={parameter.name} parameter={parameter} thread={thread} usual={modelFor(model)?.defaults ?? {}} />
        ))}
      </fieldset>
      <div class="buttons start">
        <button type="button" class="secondary" onClick={reset}>
          {w.reset}
        </button>
        <button type="button" class="secondary" onClick={useForNew}>
          {w.useForNew}
        </button>
      </div>
      {!thread.isEmpty && <ExportButtons thread={thread} />}
    </Dialog>
  );
}

function ParameterField({ parameter, thread, usual }: { parameter: Parameter; thread: Thread; usual: Sampling }) {
  const w = words.value;
  const { name, min, max, whole } = parameter;
  const [label, hint] = w.parameters[name] as [string, string];
  const [typed, setTyped] = useState(() => String(thread.conversation.peek().sampling[name] ?? ""));
  const isWrong = parseParameter(parameter, typed) === null;
  const type = (text: string) => {
    setTyped(text);
    const value = parseParameter(parameter, text);
    if (value === null) return;
    const { [name]: _, ...others } = thread.conversation.peek().sampling;
    void keep(thread, { sampling: value === undefined ? others : { ...others, [name]: value } });
  };
  const range = whole ? w.outOfRangeWhole(number(min), number(max)) : w.outOfRange(String(min), String(max));
  return (
    <div class="parameter">
      <label for={`parameter-${name}`}>{label}</label>
      <input
        id={`parameter-${name}`}
        type="text"
        inputMode={whole ? "numeric" : "decimal"}
        autocomplete="off"
        placeholder={usual[name] === undefined ? w.serverDefault : String(usual[name])}
        value={typed}
        aria-invalid={isWrong}
        aria-describedby={`parameter-${name}-hint`}
        onInput={(event) => type(event.currentTarget.value)}
      />
      <p class={isWrong ? "hint wrong" : "hint"} id={`parameter-${name}-hint`}>
        {isWrong ? range : hint}
      </p>
    </div>
  );
}

function ExportButtons({ thread }: { thread: Thread }) {
  const w = words.value;
  const { title } = thread.conversation.value;
  const asMarkdown = () => {
    const path = thread.lineage(thread.path.peek().at(-1) ?? null);
    const text = markdownText(thread.conversation.peek(), path, { user: w.you, assistant: w.assistant });
    saveFile(title, "md", "text/markdown", text);
  };
  const asJson = async () => {
    const whole = await wholeOf(thread.id);
    if (whole !== undefined) saveFile(title, "json", "application/json", exportText([whole]));
  };
  return (
    <div class="buttons start">
      <button type="button" class="secondary" onClick={asMarkdown}>
        {w.exportMarkdown}
      </button>
      <button type="button" class="secondary" onClick={() => void asJson()}>
        {w.exportJson}
      </button>
    </div>
  );
}
