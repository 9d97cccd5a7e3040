// The language of the page: the user's choice, else the browser's.

import { computed, effect } from "@preact/signals";
import { language } from "./chat/settings";
import { en } from "./words/en";
import { zh } from "./words/zh";

/** Everything that the page says. English defines what there is; the compiler finds what a translation lacks. */
export type Words = typeof en;

const browsers = navigator.languages.find((tag) => /^(en|zh)\b/i.test(tag))?.slice(0, 2).toLowerCase();

export const languageInUse = computed<"en" | "zh">(() => {
  const wanted = language.value === "system" ? browsers : language.value;
  return wanted === "zh" ? "zh" : "en";
});

export const words = computed<Words>(() => (languageInUse.value === "zh" ? zh : en));

effect(() => {
  document.documentElement.lang = languageInUse.value === "zh" ? "zh-CN" : "en";
});

/** A number as the language writes it. */
export function number(value: number, digits = 0): string {
  return value.toLocaleString(languageInUse.value === "zh" ? "zh-CN" : "en", {
    maximumFractionDigits: digits,
    minimumFractionDigits: digits,
  });
}
