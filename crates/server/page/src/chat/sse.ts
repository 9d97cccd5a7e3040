// Server-sent events out of the pieces in which a stream arrives, wherever it was cut.
//
// Only `data` is of interest: comments (the server's sign of life) and other fields are skipped. Sans I/O.

/** No event of a chat is near this; whoever sends one wants to use up the memory. */
const EVENT_CHARS_MAX = 4_000_000;

export class EventReader {
  #rest = "";
  #data: string[] = [];
  #chars = 0;
  #afterReturn = false;

  /** The data of the events that this piece completes. */
  push(piece: string): string[] {
    const events: string[] = [];
    // A line ends with \r\n, \n or \r. A \n that begins a piece may belong to the \r that ended the one before.
    let text = this.#afterReturn && piece.startsWith("\n") ? piece.slice(1) : piece;
    if (piece !== "") this.#afterReturn = piece.endsWith("\r");
    text = this.#rest + text;
    let start = 0;
    for (const end of text.matchAll(/\r\n|\n|\r/g)) {
      this.#line(text.slice(start, end.index), events);
      start = end.index + end[0].length;
    }
    this.#rest = text.slice(start);
    if (this.#rest.length + this.#chars > EVENT_CHARS_MAX) throw new Error("an event of the stream is too long");
    return events;
  }

  #line(line: string, events: string[]): void {
    if (line === "") {
      if (this.#data.length > 0) events.push(this.#data.join("\n"));
      this.#data = [];
      this.#chars = 0;
    } else if (line.startsWith("data:")) {
      this.#data.push(line.slice(line.startsWith("data: ") ? 6 : 5));
      this.#chars += line.length;
    }
  }
}
