// Where the page begins. The script stands in the page's head, so that the theme is there before anything is drawn.

import { render } from "preact";
import { startAnswers } from "./chat/answers";
import { startChats } from "./chat/chats";
import { startModels } from "./chat/models";
import { App } from "./view/app";
import { listenToKeys } from "./view/keys";
import { applyTheme } from "./view/theme";

applyTheme();
document.addEventListener("DOMContentLoaded", () => void start());

async function start(): Promise<void> {
  startModels();
  startAnswers();
  await startChats();
  const root = document.getElementById("page");
  if (root === null) throw new Error("index.html has no element #page");
  render(<App />, root);
  listenToKeys();
}
