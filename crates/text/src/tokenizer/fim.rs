//! The tokens around a gap in a text (fill in the middle): a prompt is `prefix` text `suffix` text `middle`, and the
//! answer is what stands between the two texts.
//!
//! Bavarian et al. 2022, "Efficient Training of Language Models to Fill in the Middle". Model files name the three
//! by id, or not at all; then they are known by their texts.

use crate::vocabulary::Vocabulary;

/// The three tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fim {
    /// Stands before the text before the gap.
    pub prefix: u32,
    /// Stands before the text behind the gap.
    pub suffix: u32,
    /// Stands at the end; the answer follows.
    pub middle: u32,
}

/// Their texts in the vocabularies of public models. A family counts only as a whole: a single `<PRE>` could as
/// well be HTML.
const FAMILIES: &[[&str; 3]] = &[
    ["<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>"], // Qwen 2.5 Coder, CodeGemma
    ["<fim_prefix>", "<fim_suffix>", "<fim_middle>"],       // StarCoder, Granite
    ["<fim-prefix>", "<fim-suffix>", "<fim-middle>"],       // SantaCoder
    ["<｜fim▁begin｜>", "<｜fim▁hole｜>", "<｜fim▁end｜>"], // DeepSeek Coder
    ["<|code_prefix|>", "<|code_suffix|>", "<|code_middle|>"], // GLM 4.5
    ["▁<PRE>", "▁<SUF>", "▁<MID>"],                         // CodeLlama
    ["<PRE>", "<SUF>", "<MID>"],                            // CodeLlama, converted otherwise
];

/// What the vocabulary names, and for the rest what the first family has that is there as a whole.
pub(crate) fn find(vocabulary: &Vocabulary) -> Option<Fim> {
    let named = [vocabulary.fim_prefix, vocabulary.fim_suffix, vocabulary.fim_middle];
    let family = || FAMILIES.iter().find_map(|family| whole(vocabulary, family));
    let fim = match named {
        [Some(prefix), Some(suffix), Some(middle)] => [prefix, suffix, middle],
        _ => {
            let [prefix, suffix, middle] = family()?;
            [named[0].unwrap_or(prefix), named[1].unwrap_or(suffix), named[2].unwrap_or(middle)]
        }
    };
    let [prefix, suffix, middle] = fim;
    Some(Fim { prefix, suffix, middle })
}

/// The tokens with these texts, if all are there.
fn whole(vocabulary: &Vocabulary, family: &[&str; 3]) -> Option<[u32; 3]> {
    let mut found = [None; 3];
    for (text, id) in vocabulary.tokens.iter().zip(0..) {
        if let Some(place) = family.iter().position(|wanted| wanted.as_bytes() == text) {
            found[place].get_or_insert(id);
        }
    }
    let [prefix, suffix, middle] = found;
    Some([prefix?, suffix?, middle?])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(tokens: &[&str], named: [Option<u32>; 3], expect: Option<[u32; 3]>) {
        let [fim_prefix, fim_suffix, fim_middle] = named;
        let tokens: Vec<Vec<u8>> = tokens.iter().map(|text| text.as_bytes().to_vec()).collect();
        let vocabulary = Vocabulary { tokens, fim_prefix, fim_suffix, fim_middle, ..Vocabulary::default() };
        let found = find(&vocabulary).map(|fim| [fim.prefix, fim.suffix, fim.middle]);
        assert_eq!(found, expect, "{vocabulary:?}");
    }

    #[test]
    fn named_tokens_come_first_and_known_texts_fill_in() {
        let none = [None; 3];
        check(&["a", "b", "c"], none, None);
        check(&["a", "b", "c"], [Some(2), Some(0), Some(1)], Some([2, 0, 1]));
        for family in FAMILIES {
            let [prefix, suffix, middle] = *family;
            check(&["a", middle, prefix, suffix, "b"], none, Some([2, 3, 1]));
            check(&["a", middle, prefix, suffix, "b"], [None, Some(4), None], Some([2, 4, 1]));
            check(&[prefix, suffix], none, None);
        }
        // Neither a part of a family nor parts of two are enough.
        check(&["<PRE>", "<fim_suffix>", "<|fim_middle|>"], none, None);
        check(&["<PRE>", "a"], [None, Some(1), Some(1)], None);
        // Of two with the same text the first counts.
        check(&["<PRE>", "<SUF>", "<MID>", "<MID>"], none, Some([0, 1, 2]));
    }
}
