// The models that the server has, asked for until it answers.

import { effect, signal } from "@preact/signals";
import { fetchModels, type Model } from "./api";
import { type Failure, RequestFailed } from "./failure";
import { apiKey, beginning } from "./settings";

export const models = signal<readonly Model[]>([]);
/** Why there are none yet, or no new ones. */
export const modelsFailure = signal<Failure | undefined>(undefined);

const RETRY_MS_FIRST = 1000;
const RETRY_MS_MAX = 20_000;
const FRESH_MS = 60_000;

let askedAt = 0;
let retryMs = RETRY_MS_FIRST;
let timer = 0;
/** Only the answer to the newest question counts: an older one was asked with another key. */
let asking = 0;

export function startModels(): void {
  effect(() => {
    void apiKey.value;
    void refreshModels();
  });
  document.addEventListener("visibilitychange", () => {
    const stale = modelsFailure.peek() !== undefined || Date.now() - askedAt > FRESH_MS;
    if (!document.hidden && stale) void refreshModels();
  });
}

export async function refreshModels(): Promise<void> {
  clearTimeout(timer);
  askedAt = Date.now();
  const asked = ++asking;
  try {
    const found = await fetchModels(apiKey.peek());
    if (asked !== asking) return;
    models.value = found;
    modelsFailure.value = undefined;
    retryMs = RETRY_MS_FIRST;
  } catch (error) {
    if (asked !== asking) return;
    const failure: Failure = error instanceof RequestFailed ? error.failure : { kind: "unreachable", said: "" };
    modelsFailure.value = failure;
    // Without a key, asking again would get the same answer.
    if (failure.kind !== "key") timer = window.setTimeout(askAgain, retryMs);
    retryMs = Math.min(retryMs * 2, RETRY_MS_MAX);
  }
}

function askAgain(): void {
  if (!document.hidden) void refreshModels();
}

/** The model that a conversation is answered by: its own, else the one last chosen, else the first. */
export function modelFor(wanted: string): Model | undefined {
  const find = (id: string) => models.value.find((model) => model.id === id);
  return find(wanted) ?? find(beginning.value.model) ?? models.value[0];
}
