// Files out of the page, and into it.

const NAME_CHARS_MAX = 60;

/** Hands a text to the browser as a download. */
export function saveFile(title: string, extension: string, type: string, text: string): void {
  const name = title.replace(/[^\p{L}\p{N} _-]+/gu, " ").replace(/\s+/g, " ").trim().slice(0, NAME_CHARS_MAX) || "kun";
  const address = URL.createObjectURL(new Blob([text], { type: `${type};charset=utf-8` }));
  const link = document.createElement("a");
  link.href = address;
  link.download = `${name}.${extension}`;
  link.click();
  // The download has begun by then; the text need not stay in memory.
  setTimeout(() => URL.revokeObjectURL(address), 10_000);
}
