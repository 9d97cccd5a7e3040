// The list of the shortcuts.

import { words } from "../words";
import { Dialog } from "./dialog";
import { KEYS } from "./keys";

export function Shortcuts() {
  const w = words.value;
  return (
    <Dialog name="shortcuts" title={w.shortcuts} class="middle">
      <dl class="shortcuts">
        {KEYS.map(([name, keys]) => (
          <div key={name}>
            <dt>{w.shortcutList[name]}</dt>
            <dd>
              {keys.map((key) => (
                <kbd key={key}>{key}</kbd>
              ))}
            </dd>
          </div>
        ))}
      </dl>
    </Dialog>
  );
}
