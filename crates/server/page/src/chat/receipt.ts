// An answer while it is received: drawn at most once a frame, and kept in the browser twice a second.
//
// Text is collected here and handed to the thread in steps, so the speed of the server never decides how often the
// page is drawn. When drawing is slow, it gets a quarter of the time and no more.

import type { StreamEvent } from "./api";
import type { Figures, Message, Standing } from "./conversation";
import type { Failure } from "./failure";

const KEEP_MS = 500;
/** A frame that took longer than this was held up by drawing. */
const FRAME_MS_MAX = 50;
const PAUSE_MS_MAX = 2000;
const HIDDEN_MS = 400;

export class Receipt {
  #message: Message;
  #figures: Figures = {};
  readonly #startedAt = performance.now();
  #firstAt: number | undefined;
  #scheduled = false;
  #keeper: number;
  #kept: Message | undefined;

  constructor(
    message: Message,
    private readonly draw: (message: Message) => void,
    private readonly keep: (message: Message) => void,
  ) {
    this.#message = message;
    this.#keeper = window.setInterval(() => this.keepNow(), KEEP_MS);
  }

  get message(): Message {
    return this.#message;
  }

  take(event: StreamEvent): void {
    const message = this.#message;
    if (event.type === "text") this.#message = { ...message, text: message.text + event.text };
    else if (event.type === "thinking") this.#message = { ...message, thinking: (message.thinking ?? "") + event.text };
    else if (event.type === "model") this.#message = { ...message, model: event.model };
    else if (event.type === "figures") this.#figures = { ...this.#figures, ...event.figures };
    else this.#message = { ...message, finish: event.finish, ...(event.stopReason && { stopReason: event.stopReason }) };
    if (event.type === "text" || event.type === "thinking") this.#firstAt ??= performance.now();
    this.#schedule();
  }

  /** Keeps what has arrived, for example because the page is being closed. */
  keepNow(): void {
    if (this.#kept === this.#message) return;
    this.#kept = this.#message;
    this.keep(this.#message);
  }

  /** The whole message, when nothing more will come. */
  end(standing: Standing, failure?: Failure): Message {
    clearInterval(this.#keeper);
    const figures = this.#measured();
    this.#message = { ...this.#message, standing, figures, ...(failure && { failure }) };
    this.draw(this.#message);
    return this.#message;
  }

  #measured(): Figures {
    const figures = { ...this.#figures };
    if (this.#firstAt === undefined) return figures;
    figures.firstTokenMs = this.#firstAt - this.#startedAt;
    const generationMs = performance.now() - this.#firstAt;
    // A server that does not measure is measured from here, if there is enough to measure.
    if (figures.tokensPerSecond === undefined && (figures.answerTokens ?? 0) > 4 && generationMs > 20) {
      figures.tokensPerSecond = ((figures.answerTokens ?? 0) - 1) / (generationMs / 1000);
    }
    return figures;
  }

  #schedule(pauseMs = 0): void {
    if (this.#scheduled) return;
    this.#scheduled = true;
    const step = () => this.#step();
    if (document.hidden || pauseMs > 0) setTimeout(step, document.hidden ? HIDDEN_MS : pauseMs);
    else requestAnimationFrame(step);
  }

  #step(): void {
    this.#scheduled = false;
    if (this.#message.standing !== "streaming") return;
    const drawn = this.#message;
    const startedAt = performance.now();
    this.draw(drawn);
    if (document.hidden) return;
    this.#scheduled = true;
    requestAnimationFrame(() => {
      this.#scheduled = false;
      const tookMs = performance.now() - startedAt;
      const pauseMs = tookMs > FRAME_MS_MAX ? Math.min(tookMs * 3, PAUSE_MS_MAX) : 0;
      if (this.#message !== drawn) this.#schedule(pauseMs);
    });
  }
}
