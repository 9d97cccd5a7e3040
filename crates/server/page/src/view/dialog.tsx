// A window above the page. The browser itself keeps the focus in it, closes it on Esc and gives the focus back.

import type { ComponentChildren } from "preact";
import { useLayoutEffect, useRef } from "preact/hooks";
import { words } from "../words";
import { Icon } from "./icons";
import { NoticeView } from "./notice";
import { dialog, type DialogName } from "./state";

interface DialogProps {
  name: DialogName;
  title: string;
  class: string;
  children: ComponentChildren;
}

export function Dialog({ name, title, class: kind, children }: DialogProps) {
  const w = words.value;
  const box = useRef<HTMLDialogElement>(null);
  // The browser tells of the end of one window a little later, and by then another may be open.
  const close = () => {
    if (dialog.peek() === name) dialog.value = undefined;
  };
  useLayoutEffect(() => {
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
