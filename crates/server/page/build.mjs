// Builds the page into `dist/`, or, with `--check`, compares a fresh build with what is there.
//
// The four files of `dist/` are committed, because the server embeds them and is built without Node. The same
// sources and the pinned esbuild give the same bytes on every machine: no time, no path and no hash is written in.

import { readFile, writeFile, mkdir } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const HERE = fileURLToPath(new URL(".", import.meta.url));
// What the page may weigh, so that it stays quick on a slow line.
const BYTES_MAX = 200_000;

const files = { ...(await bundled()), ...(await copied(["index.html", "icon.svg"])) };
if (process.argv.includes("--check")) {
  await compare(files);
} else {
  await mkdir(`${HERE}dist`, { recursive: true });
  for (const [name, bytes] of Object.entries(files)) await writeFile(`${HERE}dist/${name}`, bytes);
}
for (const [name, bytes] of Object.entries(files)) console.log(`${name}  ${bytes.length} bytes`);

/** The script and the style sheet, each in one file. */
async function bundled() {
  const result = await build({
    absWorkingDir: HERE,
    entryPoints: { page: "src/main.tsx", style: "src/looks/page.css" },
    bundle: true,
    write: false,
    outdir: "dist",
    format: "iife",
    // What the style sheet needs too (:has, nesting) came to the browsers in 2023.
    target: ["chrome111", "firefox121", "safari16.5"],
    jsx: "automatic",
    jsxImportSource: "preact",
    minify: true,
    // Comments of libraries with their licences stay.
    legalComments: "inline",
    charset: "utf8",
    logLevel: "warning",
  });
  const named = (name) => Buffer.from(result.outputFiles.find((file) => file.path.endsWith(name)).contents);
  const script = named("page.js");
  if (script.length > BYTES_MAX) throw new Error(`page.js has ${script.length} bytes, more than ${BYTES_MAX}`);
  return { "page.js": script, "page.css": named("style.css") };
}

async function copied(names) {
  const files = await Promise.all(names.map(async (name) => [name, await readFile(`${HERE}src/${name}`)]));
  return Object.fromEntries(files);
}

async function compare(files) {
  const differs = [];
  for (const [name, bytes] of Object.entries(files)) {
    const committed = await readFile(`${HERE}dist/${name}`).catch(() => Buffer.alloc(0));
    if (!committed.equals(bytes)) differs.push(name);
  }
  if (differs.length > 0) {
    console.error(`dist/ is not what the sources give: ${differs.join(", ")} differ. Run \`npm run build\` and commit it.`);
    process.exit(1);
  }
}
