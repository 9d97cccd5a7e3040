// What the open tabs of the page tell each other.
//
// The database is the one truth: a tab only says what has changed, and the others read it again. The one question is
// whether an answer that the database has as streaming is still received by anybody.

export type News =
  | { type: "conversation"; id: string }
  | { type: "message"; conversation: string; id: string }
  | { type: "removed"; id: string }
  | { type: "cleared" };

type Question = { type: "received?"; message: string };
type Reply = { type: "received"; message: string };

const REPLY_MS_MAX = 300;

export class Tabs {
  readonly #channel = typeof BroadcastChannel === "undefined" ? undefined : new BroadcastChannel("kun");

  constructor(receives: (message: string) => boolean, heard: (news: News) => void) {
    this.#channel?.addEventListener("message", ({ data }: MessageEvent<News | Question | Reply>) => {
      if (data.type === "received?") {
        if (receives(data.message)) this.#channel?.postMessage({ type: "received", message: data.message });
      } else if (data.type !== "received") {
        heard(data);
      }
    });
  }

  tell(news: News): void {
    this.#channel?.postMessage(news);
  }

  /** Does another tab receive this answer? */
  received(message: string): Promise<boolean> {
    const channel = this.#channel;
    if (channel === undefined) return Promise.resolve(false);
    return new Promise((resolve) => {
      const listener = ({ data }: MessageEvent<News | Question | Reply>) => {
        if (data.type === "received" && data.message === message) done(true);
      };
      const done = (value: boolean) => {
        channel.removeEventListener("message", listener);
        resolve(value);
      };
      channel.addEventListener("message", listener);
      channel.postMessage({ type: "received?", message });
      setTimeout(() => done(false), REPLY_MS_MAX);
    });
  }
}
