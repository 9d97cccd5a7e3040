// What holds for the whole page: its looks, its language, the key, and all chats as a file.

import type { Signal } from "@preact/signals";
import { useRef, useState } from "preact/hooks";
import { allWholes, conversations, importText, removeAll } from "../chat/chats";
import { show } from "../chat/notices";
import { apiKey, language, theme } from "../chat/settings";
import { exportText, IMPORT_BYTES_MAX } from "../chat/transfer";
import { words } from "../words";
import { Dialog } from "./dialog";
import { saveFile } from "./files";

export function Settings() {
  const w = words.value;
  return (
    <Dialog name="settings" title={w.settings} class="middle">
      <Choice name="theme" legend={w.appearance} value={theme} options={[["system", w.themeSystem], ["light", w.themeLight], ["dark", w.themeDark]]} />
      <Choice name="language" legend={w.language} value={language} options={[["system", w.languageSystem], ["en", "English"], ["zh", "中文"]]} />
      <div class="field">
        <label for="settings-key">{w.key}</label>
        <div class="row">
          <input id="settings-key" type="password" autocomplete="off" spellcheck={false} aria-describedby="settings-key-hint" value={apiKey.value} onChange={(event) => (apiKey.value = event.currentTarget.value.trim())} />
          {apiKey.value !== "" && (
            <button type="button" class="secondary" onClick={() => (apiKey.value = "")}>
              {w.keyForget}
            </button>
          )}
        </div>
        <p class="hint" id="settings-key-hint">
          {w.keyHint}
        </p>
      </div>
      <Data />
    </Dialog>
  );
}

interface ChoiceOf<T extends string> {
  name: string;
  legend: string;
  value: Signal<T>;
  options: readonly (readonly [T, string])[];
}

function Choice<T extends string>({ name, legend, value, options }: ChoiceOf<T>) {
  return (
    <fieldset class="choice">
      <legend>{legend}</legend>
      <div class="segments">
        {options.map(([option, label]) => (
          <label key={option}>
            <input type="radio" name={name} checked={value.value === option} onChange={() => (value.value = option)} />
            <span>{label}</span>
          </label>
        ))}
      </div>
    </fieldset>
  );
}

function Data() {
  const w = words.value;
  const file = useRef<HTMLInputElement>(null);
  const [sure, setSure] = useState(false);
  const none = conversations.value.length === 0;
  const exportAll = async () => saveFile("Kun", "json", "application/json", exportText(await allWholes()));
  const take = async (input: HTMLInputElement) => {
    const chosen = input.files?.[0];
    if (chosen === undefined) return;
    if (chosen.size > IMPORT_BYTES_MAX) show({ text: w.importTooLarge(IMPORT_BYTES_MAX / 1024 / 1024) });
    else await importText(await chosen.text());
    // The same file may be chosen again.
    input.value = "";
  };
  return (
    <section class="field">
      <h3>{w.data}</h3>
      <div class="buttons start">
        <button type="button" class="secondary" disabled={none} onClick={() => void exportAll()}>
          {w.exportAll}
        </button>
        <button type="button" class="secondary" onClick={() => file.current?.click()}>
          {w.import}
        </button>
        <input ref={file} class="offscreen" type="file" accept=".json,application/json" tabIndex={-1} aria-label={w.import} onChange={(event) => void take(event.currentTarget)} />
        <button type="button" class="secondary danger" disabled={none} aria-expanded={sure} onClick={() => setSure(!sure)}>
          {w.deleteAll}
        </button>
      </div>
      {sure && !none && (
        <div class="sure" role="alert">
          <p>{w.deleteAllSure}</p>
          <div class="buttons start">
            <button type="button" class="secondary" onClick={() => setSure(false)}>
              {w.cancel}
            </button>
            <button type="button" class="primary danger" onClick={() => void removeAll().then(() => setSure(false))}>
              {w.deleteAllYes}
            </button>
          </div>
        </div>
      )}
    </section>
  );
}
