// Markdown as it streams in: cut into top-level blocks, of which only the last can still change.
//
// A block that another has followed is never parsed or drawn again, so the work of a frame depends on the length of
// the last block and not on the length of the answer. HTML is text to this parser; nothing here makes any.

import MarkdownIt, { type Token } from "markdown-it";

/** The tokens of one top-level block: a paragraph, a list, a table, a fenced block … */
export interface Block {
  readonly tokens: readonly Token[];
}

/** Beyond this, one block is text: nobody writes such a paragraph, and a parser may be slow on what nobody writes. */
const BLOCK_CHARS_MAX = 100_000;

const parser = new MarkdownIt({ html: false, linkify: true, breaks: true, typographer: false });
parser.linkify.set({ fuzzyLink: false, fuzzyEmail: false, fuzzyIP: false });
// Anything else, `javascript:` and relative addresses among them, stays the text that it was.
parser.validateLink = (url) => /^(https?:\/\/|mailto:)/i.test(url.trim());

/**
 * Lists and quotes as deep as this are no text that anybody wrote. The parser drops what lies deeper than its own limit,
 * without a word; this one is reached before.
 */
const DEPTH_MAX = 90;
parser.block.ruler.before("table", "depth", (state) => {
  if (state.level >= DEPTH_MAX) state.env.isTooDeep = true;
  return false;
});

/** The blocks of a text that is whole. */
export function blocksOf(text: string): Block[] {
  return new Blocks().update(text);
}

export class Blocks {
  #text = "";
  #settled: Block[] = [];
  #settledChars = 0;

  /** The blocks of a text that begins with the one before, if there was one. Blocks that did not change are the same objects. */
  update(text: string): Block[] {
    if (!text.startsWith(this.#text)) this.#forget();
    this.#text = text;
    const rest = text.slice(this.#settledChars);
    const groups = groupsOf(rest);
    const last = groups.at(-1);
    if (groups.length > 1 && last !== undefined) {
      this.#settled = [...this.#settled, ...groups.slice(0, -1)];
      this.#settledChars += offsetOfLine(rest, last.line);
    }
    return last === undefined ? this.#settled : [...this.#settled, last];
  }

  #forget(): void {
    this.#settled = [];
    this.#settledChars = 0;
  }
}

interface Group extends Block {
  /** The line that it begins on. */
  line: number;
}

function groupsOf(text: string): Group[] {
  // A link's definition counts within the text that is parsed here only. One that is still arriving must not win.
  const env: Record<string, unknown> = {};
  const isTooLong = text.length > BLOCK_CHARS_MAX && !BLANK_LINE.test(text);
  const tokens = isTooLong ? [] : parser.parse(text, env);
  if (isTooLong || env.isTooDeep === true) return degenerate(text);
  const groups: { tokens: Token[]; line: number }[] = [];
  let depth = 0;
  for (const token of tokens) {
    if (depth === 0) groups.push({ tokens: [], line: token.map?.[0] ?? 0 });
    groups.at(-1)?.tokens.push(token);
    depth += token.nesting;
  }
  return groups;
}

const BLANK_LINE = /\n[ \t]*\n/;

/** What between two blank lines can be read as Markdown is; the rest stays as it was written. */
function degenerate(text: string): Group[] {
  const end = BLANK_LINE.exec(text);
  if (end === null) return [{ tokens: [plainText(text)], line: 0 }];
  // Half of the blank lines at a time, so that the text is not cut, and read, line by line.
  const ends = [...text.matchAll(new RegExp(BLANK_LINE, "g"))];
  const middle = ends[Math.floor(ends.length / 2)] ?? end;
  const cut = middle.index + middle[0].length;
  const head = text.slice(0, cut);
  const lines = head.split("\n").length - 1;
  const tail = groupsOf(text.slice(cut)).map((group) => ({ ...group, line: group.line + lines }));
  return [...groupsOf(head.trimEnd()), ...tail];
}

/** A block whose text is shown as it is. */
function plainText(text: string): Token {
  const token = parser.parse("---", {})[0] as Token;
  token.type = "plain";
  token.content = text;
  return token;
}

/** Where a line begins. The parser counts \r\n, and \r alone, as one end of a line. */
function offsetOfLine(text: string, line: number): number {
  const ends = /\r\n|\n|\r/g;
  for (let passed = 0; passed < line; passed += 1) if (ends.exec(text) === null) return text.length;
  return ends.lastIndex;
}
