// Markdown's tokens as elements of the page.
//
// No HTML is ever written or parsed: each token becomes an element from a fixed list, and all text is set as text. What
// a model says can therefore add no script, no style and no request, whatever it is. Images are links.

import { Component, type ComponentChildren, h, type VNode } from "preact";
import type { Token } from "markdown-it";
import { words } from "../words";
import type { Block } from "./blocks";
import { Code } from "./code";

/** One block. The object stays the same as long as its text does, and then nothing is drawn again. */
export class BlockView extends Component<{ block: Block }> {
  override shouldComponentUpdate(next: { block: Block }): boolean {
    return next.block !== this.props.block;
  }

  override render() {
    return <>{elements(this.props.block.tokens)}</>;
  }
}

/** Tags that tokens may become. Headings go two levels down: above them are the page's and the message's. */
const TAGS = new Set(["p", "ul", "ol", "li", "blockquote", "table", "thead", "tbody", "tr", "th", "td", "em", "strong", "s"]);
const HEADINGS: Record<string, string> = { h1: "h3", h2: "h4", h3: "h5", h4: "h6", h5: "h6", h6: "h6" };

interface Open {
  token: Token | undefined;
  children: ComponentChildren[];
}

function elements(tokens: readonly Token[]): ComponentChildren[] {
  const root: Open = { token: undefined, children: [] };
  const stack: Open[] = [root];
  for (const token of tokens) {
    const top = stack.at(-1) ?? root;
    if (token.nesting === 1) {
      stack.push({ token, children: [] });
    } else if (token.nesting === -1) {
      if (stack.length > 1) stack.pop();
      (stack.at(-1) ?? root).children.push(element(top));
    } else {
      top.children.push(leaf(token));
    }
  }
  return root.children;
}

/** The element that a pair of tokens makes around what is between them. */
function element({ token, children }: Open): ComponentChildren {
  // A tight list's paragraphs are hidden.
  if (token === undefined || token.hidden) return <>{children}</>;
  if (token.type === "link_open") return <Link href={attribute(token, "href")}>{children}</Link>;
  const heading = HEADINGS[token.tag];
  if (heading !== undefined) return h(heading, { class: `heading ${token.tag}` }, children);
  if (!TAGS.has(token.tag)) return <>{children}</>;
  if (token.tag === "table") return <ScrolledTable>{children}</ScrolledTable>;
  const start = token.tag === "ol" ? token.attrGet("start") : null;
  const align = /text-align:(left|right|center)/.exec(attribute(token, "style"))?.[1];
  return h(token.tag, { ...(start !== null && { start: Number(start) }), ...(align !== undefined && { class: align }) }, children);
}

function leaf(token: Token): ComponentChildren {
  switch (token.type) {
    case "inline":
      return <>{elements(token.children ?? [])}</>;
    case "softbreak":
    case "hardbreak":
      return <br />;
    case "code_inline":
      return <code>{token.content}</code>;
    case "hr":
      return <hr />;
    case "fence":
    case "code_block":
      return <Code code={token.content} language={/^[\w+#.-]{1,30}/.exec(token.info.trim())?.[0] ?? ""} />;
    case "plain":
      return <p class="plain">{token.content}</p>;
    case "image":
      return <Link href={attribute(token, "src")}>{`${words.peek().image}: ${token.content || attribute(token, "src")}`}</Link>;
    default:
      return token.content;
  }
}

function attribute(token: Token, name: string): string {
  return String(token.attrGet(name) ?? "");
}

function Link({ href, children }: { href: string; children: ComponentChildren }): VNode {
  // Where a link leads is seen by pointing at it, whatever its text claims.
  return (
    <a href={href} title={href} target="_blank" rel="noopener noreferrer nofollow">
      {children}
    </a>
  );
}

function ScrolledTable({ children }: { children: ComponentChildren }): VNode {
  return (
    <div class="table" tabIndex={0} role="group">
      <table>{children}</table>
    </div>
  );
}
