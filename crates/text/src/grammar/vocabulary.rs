//! A vocabulary as the matcher wants it: a tree of the tokens' bytes, and a way to write bytes in tokens.

use std::sync::Arc;

use llguidance::toktrie::{TokEnv, TokRxInfo, TokTrie, TokenizerEnv};

use super::GrammarError;
use crate::tokenizer::{Specials, Tokenizer};

struct Environment {
    tokenizer: Arc<Tokenizer>,
    trie: TokTrie,
}

/// The vocabulary of a tokenizer. Special tokens are in it under their names, behind a byte that no text has.
pub(super) fn environment(tokenizer: Arc<Tokenizer>) -> Result<TokEnv, GrammarError> {
    let end = tokenizer.end_of_generation().first().copied().or(tokenizer.eos());
    let end =
        end.ok_or_else(|| GrammarError::Vocabulary("it has no token that ends an answer".to_owned()))?;
    let words: Vec<Vec<u8>> = (0..tokenizer.len() as u32).map(|id| word(&tokenizer, id)).collect();
    let trie = TokTrie::from(&TokRxInfo::new(words.len() as u32, end), &words);
    Ok(Arc::new(Environment { tokenizer, trie }))
}

fn word(tokenizer: &Tokenizer, id: u32) -> Vec<u8> {
    if tokenizer.is_special(id) {
        let text = tokenizer.token_text(id).unwrap_or_default();
        return [&[TokTrie::SPECIAL_TOKEN_MARKER], text.as_bytes()].concat();
    }
    tokenizer.piece(id).unwrap_or_default().to_vec()
}

impl TokenizerEnv for Environment {
    fn tok_trie(&self) -> &TokTrie {
        &self.trie
    }

    fn tokenize_bytes(&self, bytes: &[u8]) -> Vec<u32> {
        if let Ok(text) = std::str::from_utf8(bytes) {
            let tokens = self.tokenizer.encode_inside(text, Specials::AsText);
            let pieces = tokens.iter().filter_map(|&token| self.tokenizer.piece(token));
            if pieces.flatten().eq(bytes) {
                return tokens;
            }
        }
        // Part of a character, or a vocabulary that can't spell the text as it stands.
        self.trie.greedy_tokenize(bytes)
    }
}
