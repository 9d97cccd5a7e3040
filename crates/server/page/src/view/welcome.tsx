// A chat that has not begun: a greeting, a few beginnings, and where the words go.

import { words } from "../words";
import { setComposerText } from "./composer";

export function Welcome() {
  const w = words.value;
  return (
    <section class="welcome">
      <div class="welcome-inner">
        <h2>{w.welcome}</h2>
        <p class="privacy">{w.privacy(location.host)}</p>
        <ul class="examples">
          {w.examples.map(([name, prompt]) => (
            <li key={name}>
              <button type="button" onClick={() => setComposerText(prompt)}>
                <span class="example-name">{name}</span>
                <span>{prompt}</span>
              </button>
            </li>
          ))}
        </ul>
      </div>
    </section>
  );
}
