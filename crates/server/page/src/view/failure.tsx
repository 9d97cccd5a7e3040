// What went wrong, in words, and the way on: trying again, when that makes sense, or giving the key.

import { useEffect, useState } from "preact/hooks";
import { answerAgain } from "../chat/answers";
import type { Message } from "../chat/conversation";
import type { Failure } from "../chat/failure";
import { running } from "../chat/running";
import { apiKey } from "../chat/settings";
import type { Thread } from "../chat/thread";
import { number, words } from "../words";
import { Icon } from "./icons";

export function FailureView({ thread, message, isLast }: { thread: Thread; message: Message; isLast: boolean }) {
  const w = words.value;
  const failure = message.failure;
  if (failure === undefined) return null;
  const busy = running.value.has(thread.id);
  const retry = () => answerAgain(thread, message);
  return (
    <div class="failure">
      <Icon name="warning" />
      <div>
        <p>
          <strong>{w.failures[failure.kind]}</strong> <Details failure={failure} />
          {message.text !== "" && ` ${w.partialKept}`}
        </p>
        {isLast && failure.kind === "key" && <KeyForm used={retry} />}
        {offersRetry(message, isLast) && failure.kind !== "key" && !busy && <RetryButton at={failure.retryAt} run={retry} />}
      </div>
    </div>
  );
}

/** A chat that is too long stays so; and what was answered long ago has been passed over. */
export function offersRetry({ failure }: Message, isLast: boolean): boolean {
  return isLast && failure !== undefined && failure.kind !== "context";
}

function Details({ failure }: { failure: Failure }) {
  const w = words.value;
  const { kind, said, promptTokens, contextTokens } = failure;
  if (kind !== "context") return said === "" || kind === "key" ? null : <>{w.serverSaid(said)}</>;
  if (contextTokens === undefined) return <>{w.contextAdvice}</>;
  const context = number(contextTokens);
  return (
    <>
      {promptTokens === undefined ? w.contextLimit(context) : w.contextFigures(number(promptTokens), context)} {w.contextAdvice}
    </>
  );
}

/** Counts down to the moment that the server named; trying earlier is the user's right. */
function RetryButton({ at, run }: { at: number | undefined; run: () => void }) {
  const w = words.value;
  const [now, setNow] = useState(Date.now());
  const seconds = at === undefined ? 0 : Math.max(0, Math.ceil((at - now) / 1000));
  useEffect(() => {
    if (seconds === 0) return;
    const timer = setTimeout(() => setNow(Date.now()), 1000);
    return () => clearTimeout(timer);
  }, [now, seconds]);
  return (
    <button type="button" class="secondary" onClick={run}>
      {seconds > 0 ? w.retryIn(seconds) : w.retry}
    </button>
  );
}

/** Asks for the key. With another key the list of models is asked for again by itself. */
export function KeyForm({ used }: { used?: () => void }) {
  const w = words.value;
  const [key, setKey] = useState("");
  const submit = (event: Event) => {
    event.preventDefault();
    if (key.trim() === "") return;
    apiKey.value = key.trim();
    used?.();
  };
  return (
    <form class="key-form" onSubmit={submit}>
      {apiKey.value !== "" && <p class="wrong">{w.keyWrong}</p>}
      <div class="row">
        <input type="password" aria-label={w.key} placeholder={w.key} autocomplete="off" spellcheck={false} value={key} onInput={(event) => setKey(event.currentTarget.value)} />
        <button type="submit" class="primary" disabled={key.trim() === ""}>
          {w.keySave}
        </button>
      </div>
      <p class="hint">{w.keyHint}</p>
    </form>
  );
}
