// A window above the page. The browser itself keeps the focus in it, closes it on Esc and gives the focus back.

import type { ComponentChildren } from "preact";
import { useEffect, useRef } from "preact/hooks";
import { words } from "../words";
import { Icon } from "./icons";
import { NoticeView } from "./notice";
import { dialog } from "./state";

export function Dialog({ title, class: kind, children }: { title: string; class: string; children: ComponentChildren }) {
  const w = words.value;
  const box = useRef<HTMLDialogElement>(null);
  const close = () => (dialog.value = undefined);
  useEffect(() => {
    const opener = document.activeElement;
    box.current?.showModal();
    return () => {
      if (opener instanceof HTMLElement) opener.focus();
    };
  }, []);
  // Only the backdrop is the dialog itself: what is in it lies in the inner box.
  const click = (event: MouseEvent) => {
    if (event.target === box.current) close();
  };
  return (
    <dialog ref={box} class={`dialog ${kind}`} aria-label={title} onClose={close} onClick={click}>
      <div class="dialog-inner">
        <header>
          <h2>{title}</h2>
          <button type="button" class="tool" aria-label={w.close} title={w.close} onClick={close}>
            <Icon name="close" />
          </button>
        </header>
        {children}
      </div>
      {/* What lies behind this window can't be seen well, nor used. */}
      <NoticeView />
    </dialog>
  );
}
