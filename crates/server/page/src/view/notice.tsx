// The line at the bottom that says what was done, and may take it back.

import { dismiss, notice } from "../chat/notices";
import { words } from "../words";
import { Icon } from "./icons";

export function NoticeView() {
  const w = words.value;
  const shown = notice.value;
  return (
    <div class="notice-place" role="status">
      {shown !== undefined && (
        <div class="notice">
          <span>{shown.text}</span>
          {shown.action !== undefined && (
            <button
              type="button"
              class="quiet"
              onClick={() => {
                shown.action?.run();
                dismiss();
              }}
            >
              {shown.action.label}
            </button>
          )}
          <button type="button" class="tool" aria-label={w.dismiss} onClick={dismiss}>
            <Icon name="close" />
          </button>
        </div>
      )}
    </div>
  );
}
