// Texts that the scripted server answers with.

/** A bit of everything that an answer may have, for the screenshots. */
export const SAMPLE = `Sea water is salty because **rivers carry dissolved minerals** into the sea, and the sun takes only the water back out.

## Where the salt comes from

1. Rain is slightly acid. It dissolves rock as it runs over it.
2. Rivers take the minerals along: mostly \`Na⁺\` and \`Cl⁻\`.
3. Water evaporates from the sea, and the salt stays.

A litre of sea water has about 35 g of salt, which is roughly this:

| Ion | Share | Grams in a litre |
| :-- | --: | --: |
| Chloride | 55 % | 19.3 |
| Sodium | 31 % | 10.7 |
| Sulphate | 8 % | 2.7 |

> The Dead Sea has almost ten times as much, for no river leaves it.

Here is how to count it:

\`\`\`python
def salt_grams(litres: float, per_litre: float = 35.0) -> float:
    """Grams of salt in so much sea water."""
    # Brackish water has less.
    if litres < 0:
        raise ValueError(f"litres is {litres}; it can't be negative")
    return litres * per_litre

print(salt_grams(2.5))  # 87.5
\`\`\`

More is at <https://en.wikipedia.org/wiki/Seawater>. 海水平均每升含盐约 35 克。`;

/** What a model may be made to say to whoever reads it in a browser. */
export const HOSTILE = `<script>window.hacked = 1</script>

<img src="https://evil.example/a.png" onerror="window.hacked = 2">

<style>body { display: none }</style>

[a](javascript:window.hacked=3) [b](JaVaScRiPt:window.hacked=4) [c](data:text/html,<script>window.hacked=5</script>)
[d](vbscript:x) [e](/v1/models) [f](//evil.example/) [g](https://evil.example/?q="onmouseover="window.hacked=6)

![picture](https://evil.example/pixel.png) ![x](data:image/svg+xml;base64,PHN2Zy8+)

[ref]: javascript:window.hacked=7
[ref] <javascript:window.hacked=8> https://good.example/path

\`\`\`html"><script>window.hacked=9</script>
</code></pre><script>window.hacked = 10</script>
\`\`\`

| <b>a</b> | [x](javascript:1) |
| -- | -- |
| <iframe src="https://evil.example"></iframe> | &lt;b&gt; |

${"> ".repeat(400)}deep

${"- ".repeat(300)}deep too

${"*a **b ".repeat(500)}

${"[".repeat(3000)}

END-OF-HOSTILE`;

const PARAGRAPH = "It goes on for a while, with **words** that are `marked` and a [link](https://good.example/), and it does not stop soon. ";

/** About 200 kB. */
export const LONG = Array.from({ length: 400 }, (_, at) => `### Part ${at}\n\n${PARAGRAPH.repeat(4)}`).join("\n\n") + "\n\nEND-OF-LONG";
