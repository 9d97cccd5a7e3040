// A block of code with its language and a button that copies it.

import { useMemo } from "preact/hooks";
import { CopyButton } from "../view/copy";
import { words } from "../words";
import { highlight } from "./highlight";

export function Code({ code, language }: { code: string; language: string }) {
  const w = words.value;
  const pieces = useMemo(() => highlight(code, language), [code, language]);
  return (
    <figure class="code">
      <figcaption>
        <span>{language || w.code.toLowerCase()}</span>
        <CopyButton text={() => code.replace(/\n$/, "")} label={w.copyCode} worded />
      </figcaption>
      <pre tabIndex={0}>
        <code>{pieces.map((piece) => (piece.kind === undefined ? piece.text : <span class={piece.kind}>{piece.text}</span>))}</code>
      </pre>
    </figure>
  );
}
