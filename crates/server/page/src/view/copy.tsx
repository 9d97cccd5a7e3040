// A button that copies a text and says so for a moment.

import { useEffect, useState } from "preact/hooks";
import { announce, show } from "../chat/notices";
import { words } from "../words";
import { Icon } from "./icons";

const COPIED_MS = 1800;

export function CopyButton({ text, label, worded = false }: { text: () => string; label: string; worded?: boolean }) {
  const w = words.value;
  const [copied, setCopied] = useState(false);
  useEffect(() => {
    if (!copied) return;
    const timer = setTimeout(() => setCopied(false), COPIED_MS);
    return () => clearTimeout(timer);
  }, [copied]);
  const run = async () => {
    if (!(await copyText(text()))) return show({ text: w.notCopied });
    setCopied(true);
    announce(w.copied);
  };
  return (
    <button type="button" class={worded ? "quiet" : "tool"} aria-label={label} title={worded ? undefined : label} onClick={() => void run()}>
      <Icon name={copied ? "check" : "copy"} />
      {worded && <span>{copied ? w.copied : w.copy}</span>}
    </button>
  );
}

/** On plain HTTP there is no clipboard for scripts; there the browser copies a selection. */
async function copyText(text: string): Promise<boolean> {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    const focused = document.activeElement;
    const field = document.createElement("textarea");
    field.value = text;
    field.className = "offscreen";
    document.body.append(field);
    field.select();
    const copied = document.execCommand("copy");
    field.remove();
    if (focused instanceof HTMLElement) focused.focus();
    return copied;
  }
}
