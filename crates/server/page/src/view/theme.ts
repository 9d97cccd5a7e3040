// Dark and light. Without a choice of the user's, the style sheet follows the system by itself.

import { computed, effect, signal } from "@preact/signals";
import { theme } from "../chat/settings";

const systemIsDark = matchMedia("(prefers-color-scheme: dark)");
const dark = signal(systemIsDark.matches);
systemIsDark.addEventListener("change", () => {
  dark.value = systemIsDark.matches;
});

export const isDark = computed(() => (theme.value === "system" ? dark.value : theme.value === "dark"));

export function applyTheme(): void {
  effect(() => {
    if (theme.value === "system") document.documentElement.removeAttribute("data-theme");
    else document.documentElement.setAttribute("data-theme", theme.value);
    // The bars of a phone's browser take the page's own colour.
    for (const meta of document.querySelectorAll<HTMLMetaElement>("meta[name=theme-color]")) {
      const dark = theme.value === "system" ? meta.media.includes("dark") : isDark.value;
      meta.content = dark ? "#15181a" : "#fbfaf7";
    }
  });
}
