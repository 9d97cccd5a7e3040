// What can go wrong with a request, as data that can be kept with an answer.
//
// The words for it are in `words/`, in the user's language; `said` is what the server said, always shown as it is.

export type FailureKind =
  | "unreachable"
  | "key"
  | "busy"
  | "loading"
  | "draining"
  | "context"
  | "model"
  | "refused"
  | "server"
  | "broken"
  | "silent"
  | "interrupted";

export interface Failure {
  kind: FailureKind;
  said: string;
  /** When a new try is promised to make sense, in milliseconds since 1970. */
  retryAt?: number;
  promptTokens?: number;
  contextTokens?: number;
}

/** A failure on its way up to whoever asked. */
export class RequestFailed extends Error {
  constructor(readonly failure: Failure) {
    super(failure.said);
  }
}

const BODY_CHARS_MAX = 16_384;
const SAID_CHARS_MAX = 600;
const RETRY_SECONDS_MAX = 3600;

/** The failure that an answer other than 2xx tells of. */
export async function failureOf(response: Response): Promise<Failure> {
  const body = await response.text().then((text) => text.slice(0, BODY_CHARS_MAX), () => "");
  const failure = failureOfError(parsed(body), response.status);
  const retryAt = retryTime(response.headers.get("retry-after"));
  if (retryAt !== undefined) failure.retryAt = retryAt;
  return failure;
}

/** The failure in an `{"error": …}`, which a stream may also carry when its status has long been 200. */
export function failureOfError(body: unknown, status: number): Failure {
  const error = record(record(body).error);
  const said = (typeof error.message === "string" ? error.message : "").slice(0, SAID_CHARS_MAX);
  const failure: Failure = { kind: kindOf(status, error), said };
  const prompt = count(error.n_prompt_tokens);
  const context = count(error.n_ctx) ?? count(/maximum context length is (\d+)/.exec(said)?.[1]);
  if (prompt !== undefined) failure.promptTokens = prompt;
  if (context !== undefined) failure.contextTokens = context;
  return failure;
}

function kindOf(status: number, error: Record<string, unknown>): FailureKind {
  const code = typeof error.code === "string" ? error.code : "";
  if (status === 401 || status === 403 || code === "invalid_api_key") return "key";
  if (status === 429) return "busy";
  if (code === "context_length_exceeded") return "context";
  if (code === "model_not_found") return "model";
  if (status === 503) return /drain|shut|stopp/.test(`${code} ${String(error.message ?? "")}`) ? "draining" : "loading";
  if (status >= 400 && status < 500) return "refused";
  return "server";
}

/** `Retry-After` is a number of seconds or a date. */
function retryTime(header: string | null): number | undefined {
  if (header === null) return undefined;
  const seconds = /^\d+$/.test(header.trim()) ? Number(header) : (Date.parse(header) - Date.now()) / 1000;
  if (!Number.isFinite(seconds)) return undefined;
  return Date.now() + Math.min(Math.max(seconds, 0), RETRY_SECONDS_MAX) * 1000;
}

function parsed(body: string): unknown {
  try {
    return JSON.parse(body);
  } catch {
    return undefined;
  }
}

/** What is not an object reads as one without fields, so that a look at a field needs no further check. */
export function record(value: unknown): Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value) ? (value as Record<string, unknown>) : {};
}

/** A number of things, or nothing if it can't be one. */
export function count(value: unknown): number | undefined {
  const number = typeof value === "string" && value !== "" ? Number(value) : value;
  return typeof number === "number" && Number.isFinite(number) && number >= 0 ? number : undefined;
}
