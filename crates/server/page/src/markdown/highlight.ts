// Colours for code: comments, strings, numbers and keywords, found by one pass over the text.
//
// It is a guess by families of languages and not a parser. What it cannot tell stays plain, and joined together the
// pieces are always the code itself.

export type Kind = "comment" | "string" | "number" | "keyword" | "name" | "added" | "removed";

export interface Piece {
  text: string;
  kind?: Kind;
}

/** Longer code stays plain: it is read by few, and drawn again with each line that arrives. */
const CHARS_MAX = 30_000;

interface Family {
  pattern: RegExp;
  keywords: ReadonlySet<string>;
}

const LINE_SLASH = String.raw`\/\/[^\n]*|\/\*[\s\S]*?(?:\*\/|$)`;
const LINE_HASH = String.raw`#[^\n]*`;
const LINE_DASH = String.raw`--[^\n]*|\/\*[\s\S]*?(?:\*\/|$)`;
const QUOTED = String.raw`"(?:[^"\\\n]|\\[\s\S])*(?:"|$|(?=\n))`;
const APOSTROPHES = String.raw`'(?:[^'\\\n]|\\[\s\S])*(?:'|$|(?=\n))`;
const BACKTICKS = "`(?:[^`\\\\]|\\\\[\\s\\S])*(?:`|$)";
const TRIPLE = String.raw`"""[\s\S]*?(?:"""|$)|'''[\s\S]*?(?:'''|$)`;
/** A character or an escape, but not a lifetime. */
const CHARACTER = String.raw`'(?:[^'\\\n]|\\[^\n]{1,9}?)'`;

const LANGUAGES: readonly (readonly [names: string, comment: string, string: string, keywords: string])[] = [
  [
    "js jsx ts tsx javascript typescript mjs cjs",
    LINE_SLASH,
    `${QUOTED}|${APOSTROPHES}|${BACKTICKS}`,
    "abstract as async await break case catch class const continue default delete do else enum export extends false finally for from function get if implements import in instanceof interface let new null of private protected public readonly return set static super switch this throw true try type typeof undefined var void while yield",
  ],
  [
    "python py",
    LINE_HASH,
    `${TRIPLE}|${QUOTED}|${APOSTROPHES}`,
    "False None True and as assert async await break case class continue def del elif else except finally for from global if import in is lambda match nonlocal not or pass raise return self try while with yield",
  ],
  [
    "rust rs",
    LINE_SLASH,
    `${QUOTED}|${CHARACTER}`,
    "as async await break const continue crate dyn else enum extern false fn for if impl in let loop match mod move mut pub ref return self Self static struct super trait true type unsafe use where while",
  ],
  [
    "c cpp h hpp cc c++ cs csharp java kotlin kt scala swift go golang dart php zig",
    LINE_SLASH,
    `${QUOTED}|${CHARACTER}|${BACKTICKS}`,
    "abstract auto bool boolean break byte case catch chan char class const constexpr continue data default defer delete do double else enum explicit extends extern false final finally float fn for foreach fun func function go goto guard if implements import in include inline int interface internal let long map match mut namespace new nil null nullptr object operator override package private protected protocol public range return select short signed sizeof static string struct super switch template this throw throws true try type typedef typename uint union unsigned use using val var virtual void volatile when where while",
  ],
  [
    "sh bash shell zsh console dockerfile makefile make",
    LINE_HASH,
    `${QUOTED}|${APOSTROPHES}`,
    "case do done elif else esac exit export fi for from function if in local read return run set then until while alias cd copy echo env sudo workdir cmd entrypoint",
  ],
  [
    "sql postgresql mysql sqlite",
    LINE_DASH,
    `${QUOTED}|${APOSTROPHES}`,
    "add all alter and as asc begin between by case check column commit constraint create default delete desc distinct drop else end exists foreign from full group having if in index inner insert into is join key left like limit not null offset on or order outer primary references returning right rollback select set table then union unique update using values view when where with",
  ],
  ["json jsonc json5", LINE_SLASH, QUOTED, "true false null"],
  ["yaml yml toml ini cfg conf properties", LINE_HASH, `${TRIPLE}|${QUOTED}|${APOSTROPHES}`, "true false null yes no on off"],
  ["ruby rb perl r elixir ex julia jl nim", LINE_HASH, `${QUOTED}|${APOSTROPHES}`, "alias and begin break case class def defmodule defp do else elsif elseif end ensure export false fn for function global if import in let local macro module my next nil not or raise require rescue return self struct sub super then true unless until use using when while yield"],
  ["lua haskell hs", String.raw`--[^\n]*`, `${QUOTED}|${APOSTROPHES}`, "and break case class data deriving do else elseif end false for function goto if import in instance let local module newtype nil not of or repeat return then true type until where while"],
  ["css scss less", String.raw`\/\*[\s\S]*?(?:\*\/|$)`, `${QUOTED}|${APOSTROPHES}`, "important inherit initial none auto unset var calc media supports import"],
  ["html xml svg vue", String.raw`<!--[\s\S]*?(?:-->|$)`, `${QUOTED}|${APOSTROPHES}`, ""],
];

const FAMILIES = new Map(
  LANGUAGES.flatMap(([names, comment, string, keywords]) => {
    // The parts are tried in this order at each place; a word is taken whole, so none begins within another.
    const pattern = new RegExp(
      `(?<comment>${comment})|(?<string>${string})|(?<word>[\\p{L}_$@][\\p{L}\\p{N}_$]*)|(?<number>\\b\\d[\\d_]*(?:\\.\\d+)?(?:[eE][+-]?\\d+)?\\w*)`,
      "gu",
    );
    const family: Family = { pattern, keywords: new Set(keywords.split(" ")) };
    return names.split(" ").map((name) => [name, family] as const);
  }),
);

/** Languages whose keywords are written in any case. */
const ANY_CASE = new Set(["sql", "postgresql", "mysql", "sqlite", "dockerfile"]);
const MARKUP = new Set(["html", "xml", "svg", "vue"]);

/** All names of languages that have colours. */
export const FAMILY_NAMES: readonly string[] = [...FAMILIES.keys()];

export function highlight(code: string, language: string): Piece[] {
  const name = language.toLowerCase();
  if (code.length > CHARS_MAX) return [{ text: code }];
  if (name === "diff" || name === "patch") return diff(code);
  const family = FAMILIES.get(name);
  return family === undefined ? [{ text: code }] : pieces(code, family, name);
}

function pieces(code: string, family: Family, language: string): Piece[] {
  const found: Piece[] = [];
  let end = 0;
  for (const match of code.matchAll(family.pattern)) {
    const kind = kindOf(match, code, family, language);
    if (kind === undefined) continue;
    if (match.index > end) found.push({ text: code.slice(end, match.index) });
    found.push({ text: match[0], kind });
    end = match.index + match[0].length;
  }
  if (end < code.length) found.push({ text: code.slice(end) });
  return found;
}

function kindOf(match: RegExpMatchArray, code: string, family: Family, language: string): Kind | undefined {
  const { comment, string, number, word } = match.groups ?? {};
  const start = match.index ?? 0;
  const next = code[start + match[0].length];
  if (comment !== undefined) return "comment";
  if (string !== undefined) return language.startsWith("json") && /^\s*:/.test(code.slice(start + match[0].length, start + match[0].length + 9)) ? "name" : "string";
  if (number !== undefined) return "number";
  if (word === undefined) return undefined;
  if (MARKUP.has(language)) return code[start - 1] === "<" || code.slice(start - 2, start) === "</" ? "keyword" : undefined;
  if (family.keywords.has(ANY_CASE.has(language) ? word.toLowerCase() : word)) return "keyword";
  return next === "(" ? "name" : undefined;
}

function diff(code: string): Piece[] {
  return code.split(/(?<=\n)/).map((text): Piece => {
    if (text.startsWith("+")) return { text, kind: "added" };
    if (text.startsWith("-")) return { text, kind: "removed" };
    return text.startsWith("@@") ? { text, kind: "comment" } : { text };
  });
}
