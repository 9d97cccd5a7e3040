// The messages of a chat, the newest in sight as long as the user does not scroll away.
//
// Of a long chat the last messages are drawn at first, and more as the user comes near the first of them.

import { useEffect, useLayoutEffect, useRef, useState } from "preact/hooks";
import type { RefObject } from "preact";
import { receives } from "../chat/running";
import type { Thread } from "../chat/thread";
import { words } from "../words";
import { Icon } from "./icons";
import { MessageView } from "./message";

/** How many messages are drawn at first, and with each step back. */
const STEP = 40;
/** So near to the end counts as at the end. */
const END_PIXELS = 48;

export function ThreadView({ thread }: { thread: Thread }) {
  const w = words.value;
  const path = thread.path.value;
  const scroller = useRef<HTMLDivElement>(null);
  const content = useRef<HTMLDivElement>(null);
  const [first, setFirst] = useState(() => Math.max(0, path.length - STEP));
  // A branch may be shorter than the path that was drawn before.
  const start = Math.min(first, Math.max(0, path.length - STEP));
  const { away, toEnd } = useFollowing(scroller, content, path.at(-1));
  const showEarlier = useEarlier(scroller, start, setFirst);
  return (
    <div class="scroll" ref={scroller}>
      <div class="messages" ref={content}>
        {start > 0 && (
          <button type="button" class="quiet earlier" ref={showEarlier.button} onClick={showEarlier.run}>
            {w.showEarlier(start)}
          </button>
        )}
        {path.slice(start).map((id, index) => (
          // The place is the key and not the message: so the focus stays on the arrows between versions.
          <MessageView key={thread.message(id)?.parent ?? "first"} thread={thread} id={id} isLast={start + index === path.length - 1} />
        ))}
      </div>
      {away && (
        <button type="button" class="to-end" aria-label={w.toTheEnd} title={w.toTheEnd} onClick={toEnd}>
          <Icon name="down" />
        </button>
      )}
    </div>
  );
}

/** Keeps the end in sight while text arrives, until the user scrolls up. */
function useFollowing(scroller: RefObject<HTMLDivElement | null>, content: RefObject<HTMLDivElement | null>, last: string | undefined) {
  const following = useRef(true);
  const before = useRef({ top: 0, height: 0 });
  const [away, setAway] = useState(false);
  const toEnd = () => {
    following.current = true;
    scroller.current?.scrollTo({ top: scroller.current.scrollHeight });
  };
  useLayoutEffect(() => {
    // A new message brings the end into sight; walking among versions does not.
    if (last === undefined || receives(last)) toEnd();
  }, [last]);
  useEffect(() => {
    const box = scroller.current;
    if (box === null || content.current === null) return;
    const look = () => {
      const below = box.scrollHeight - box.clientHeight - box.scrollTop;
      const { top, height } = before.current;
      // Up is the user's doing, unless what was there has become shorter.
      if (below <= 1) following.current = true;
      else if (box.scrollTop < top && box.scrollHeight >= height) following.current = false;
      else if (box.scrollTop > top && below <= END_PIXELS) following.current = true;
      before.current = { top: box.scrollTop, height: box.scrollHeight };
      setAway(!following.current && below > END_PIXELS);
    };
    const follow = () => {
      if (following.current) box.scrollTop = box.scrollHeight;
      look();
    };
    follow();
    const observer = new ResizeObserver(follow);
    observer.observe(content.current);
    observer.observe(box);
    box.addEventListener("scroll", look, { passive: true });
    return () => {
      observer.disconnect();
      box.removeEventListener("scroll", look);
    };
  }, []);
  return { away, toEnd };
}

/** Draws earlier messages above, and leaves on the screen what was there. */
function useEarlier(scroller: RefObject<HTMLDivElement | null>, start: number, setFirst: (first: number) => void) {
  const button = useRef<HTMLButtonElement>(null);
  const below = useRef<number | undefined>(undefined);
  const run = () => {
    const box = scroller.current;
    if (box !== null) below.current = box.scrollHeight - box.scrollTop;
    setFirst(Math.max(0, start - STEP));
  };
  useLayoutEffect(() => {
    const box = scroller.current;
    if (box === null || below.current === undefined) return;
    box.scrollTop = box.scrollHeight - below.current;
    below.current = undefined;
  }, [start]);
  useEffect(() => {
    if (button.current === null) return;
    const observer = new IntersectionObserver(
      (entries) => {
        const seen = entries.some((entry) => entry.isIntersecting);
        // At the very beginning the list has not been scrolled to its end yet.
        if (seen && (scroller.current?.scrollTop ?? 0) > 0) run();
      },
      { root: scroller.current, rootMargin: "600px 0px 0px 0px" },
    );
    observer.observe(button.current);
    return () => observer.disconnect();
  }, [start]);
  return { button, run };
}
