// The sampling parameters that a conversation may set, as one table: the panel, the request and the import go through it.
//
// A parameter that is not set is not sent, so the server's or the model's own default holds.

export type SamplingName =
  | "temperature"
  | "top_p"
  | "top_k"
  | "min_p"
  | "repeat_penalty"
  | "max_completion_tokens"
  | "seed";

export type Sampling = Partial<Record<SamplingName, number>>;

export interface Parameter {
  name: SamplingName;
  min: number;
  max: number;
  whole: boolean;
}

/** `name` is the name on the wire. */
export const PARAMETERS: readonly Parameter[] = [
  { name: "temperature", min: 0, max: 2, whole: false },
  { name: "top_p", min: 0.001, max: 1, whole: false },
  { name: "top_k", min: 0, max: 1_000_000, whole: true },
  { name: "min_p", min: 0, max: 1, whole: false },
  { name: "repeat_penalty", min: 0.1, max: 10, whole: false },
  { name: "max_completion_tokens", min: 1, max: 1_000_000, whole: true },
  { name: "seed", min: 0, max: Number.MAX_SAFE_INTEGER, whole: true },
];

/** The value that was typed: nothing if the field is empty, `null` if it is no value of this parameter. */
export function parseParameter(parameter: Parameter, typed: string): number | undefined | null {
  const text = typed.trim().replace(",", ".");
  if (text === "") return undefined;
  return /^[+-]?(\d+\.?\d*|\.\d+)$/.test(text) ? checked(parameter, Number(text)) : null;
}

/** What of something read from a file or from the server are sampling parameters within their ranges. */
export function samplingOf(value: Record<string, unknown>): Sampling {
  const sampling: Sampling = {};
  for (const parameter of PARAMETERS) {
    const number = value[parameter.name];
    const fits = typeof number === "number" ? checked(parameter, number) : null;
    if (fits !== null) sampling[parameter.name] = fits;
  }
  return sampling;
}

function checked({ min, max, whole }: Parameter, number: number): number | null {
  return number >= min && number <= max && (!whole || Number.isInteger(number)) ? number : null;
}
