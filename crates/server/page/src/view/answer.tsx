// The text of an answer, how it ended, and what it cost.

import { useMemo, useRef } from "preact/hooks";
import { answerAgain } from "../chat/answers";
import { keep } from "../chat/chats";
import type { Figures, Message } from "../chat/conversation";
import { modelFor } from "../chat/models";
import type { Thread } from "../chat/thread";
import { Blocks, blocksOf } from "../markdown/blocks";
import { BlockView } from "../markdown/render";
import { number, words } from "../words";
import { FailureView } from "./failure";

export function AnswerText({ message }: { message: Message }) {
  const w = words.value;
  const streaming = message.standing === "streaming";
  const { thinking, text } = message;
  const isThinking = streaming && text === "";
  return (
    <>
      {thinking !== undefined && (
        <details class="thinking">
          <summary class={isThinking ? "live" : ""}>{isThinking ? w.thinking : w.thoughts}</summary>
          <Prose text={thinking} streaming={isThinking} />
        </details>
      )}
      {text !== "" && <Prose text={text} streaming={streaming} />}
      {isThinking && thinking === undefined && (
        <p class="waiting">
          <span class="visually-hidden">{w.answering}</span>
          <i />
          <i />
          <i />
        </p>
      )}
    </>
  );
}

function Prose({ text, streaming }: { text: string; streaming: boolean }) {
  const growing = useRef(new Blocks());
  // A whole text is parsed as one: only then a link may be defined below the place where it is used.
  const blocks = useMemo(() => (streaming ? growing.current.update(text) : blocksOf(text)), [text, streaming]);
  return (
    <div class={`prose${streaming ? " streaming" : ""}`} dir="auto">
      {blocks.map((block, index) => (
        <BlockView key={index} block={block} />
      ))}
    </div>
  );
}

/** Why an answer ended, if that is worth a word. */
export function Ending({ thread, message, isLast }: { thread: Thread; message: Message; isLast: boolean }) {
  const w = words.value;
  if (message.failure !== undefined) return <FailureView thread={thread} message={message} isLast={isLast} />;
  if (message.standing === "stopped") return <p class="ending">{w.stoppedByYou}</p>;
  if (message.stopReason === "repetition") return <p class="ending">{w.repetition}</p>;
  if (message.finish === "content_filter") return <p class="ending">{w.filtered}</p>;
  if (message.finish === "length") return <LengthEnding thread={thread} message={message} isLast={isLast} />;
  return null;
}

/** There is no going on with an answer on the wire: a longer one has to be asked for. */
function LengthEnding({ thread, message, isLast }: { thread: Thread; message: Message; isLast: boolean }) {
  const w = words.value;
  const { sampling, model } = thread.conversation.value;
  const context = modelFor(message.model ?? model)?.contextTokens;
  const { promptTokens = 0, answerTokens = 0 } = message.figures ?? {};
  if (context !== undefined && promptTokens + answerTokens >= context - 1) {
    return <p class="ending">{w.contextReached(number(context))}</p>;
  }
  const wanted = 2 * Math.max(sampling.max_completion_tokens ?? 0, answerTokens, 128);
  const longer = context === undefined ? wanted : Math.min(wanted, context - promptTokens);
  const run = () => {
    void keep(thread, { sampling: { ...sampling, max_completion_tokens: longer } });
    answerAgain(thread, message);
  };
  return (
    <div class="ending">
      <p>{answerTokens > 0 ? w.limitReached(number(answerTokens)) : w.limitReachedUnknown}</p>
      {isLast && longer > answerTokens && (
        <button type="button" class="secondary" onClick={run}>
          {w.raiseLimit(number(longer))}
        </button>
      )}
    </div>
  );
}

/** 142 tokens · 311 tokens/s · first token 0.04 s · 96 of 120 prompt tokens from the cache */
export function FiguresLine({ message }: { message: Message }) {
  const parts = figureWords(message.figures ?? {});
  if (parts.length === 0) return null;
  return (
    <p class="figures" title={message.model}>
      {/* A line may end between two figures, not within one. */}
      {parts.map((part, index) => [index > 0 && " · ", <span key={part}>{part}</span>])}
    </p>
  );
}

const QUEUE_MS_SHOWN = 200;

function figureWords(figures: Figures): string[] {
  const w = words.value;
  const { answerTokens, tokensPerSecond, firstTokenMs, queueMs, cachedTokens, promptTokens } = figures;
  const parts: string[] = [];
  if (answerTokens !== undefined) parts.push(w.tokens(answerTokens, number(answerTokens)));
  if (tokensPerSecond !== undefined) parts.push(w.speed(number(tokensPerSecond, tokensPerSecond < 20 ? 1 : 0)));
  if (firstTokenMs !== undefined) parts.push(w.firstToken(number(firstTokenMs / 1000, 2)));
  if (queueMs !== undefined && queueMs >= QUEUE_MS_SHOWN) parts.push(w.waited(number(queueMs / 1000, 1)));
  if (promptTokens !== undefined) {
    const all = number(promptTokens);
    parts.push(cachedTokens ? w.cached(number(cachedTokens), all) : w.promptTokens(all));
  }
  return parts;
}
