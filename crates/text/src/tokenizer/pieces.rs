//! From the text of a token in the vocabulary to the bytes that it stands for.

use crate::vocabulary::{TokenKind, Vocabulary, VocabularyError};

use super::pretokenizers::Spelling;

/// The character that stands for a space in vocabularies of plain text, "▁".
pub(crate) const SPACE_MARK: char = '\u{2581}';

/// Many byte strings in one allocation.
#[derive(Debug, Default)]
pub(crate) struct ByteStrings {
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl ByteStrings {
    /// Appends a string.
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
        self.ends.push(self.bytes.len());
    }

    /// The string number `index`.
    pub(crate) fn get(&self, index: usize) -> Option<&[u8]> {
        let end = *self.ends.get(index)?;
        let start = if index == 0 { 0 } else { self.ends[index - 1] };
        Some(&self.bytes[start..end])
    }

    /// How many strings there are.
    pub(crate) fn len(&self) -> usize {
        self.ends.len()
    }
}

impl<T: AsRef<[u8]>> FromIterator<T> for ByteStrings {
    fn from_iter<I: IntoIterator<Item = T>>(strings: I) -> ByteStrings {
        let mut all = ByteStrings::default();
        strings.into_iter().for_each(|string| all.push(string.as_ref()));
        all
    }
}

/// The bytes that a token stands for. Control tokens and the like stand for none.
pub(crate) fn piece(text: &[u8], kind: TokenKind, spelling: Spelling) -> Vec<u8> {
    match (kind, spelling) {
        (TokenKind::Control | TokenKind::Unknown | TokenKind::Unused | TokenKind::Undefined, _) => Vec::new(),
        (TokenKind::UserDefined, _) => text.to_vec(),
        (TokenKind::Byte, _) => byte_token(text).into_iter().collect(),
        (TokenKind::Normal, Spelling::Bytes) => bytes_of_alphabet(text),
        (TokenKind::Normal, Spelling::Plain) => {
            replace(text, SPACE_MARK.encode_utf8(&mut [0; 4]).as_bytes(), b" ")
        }
    }
}

/// The tokens for single bytes, `<0x00>` to `<0xFF>`. Of several for one byte the first counts.
pub(crate) fn byte_tokens(vocabulary: &Vocabulary) -> Result<[Option<u32>; 256], VocabularyError> {
    let mut tokens = [None; 256];
    for (id, (text, &kind)) in vocabulary.tokens.iter().zip(&vocabulary.kinds).enumerate() {
        if kind == TokenKind::Byte {
            let byte =
                byte_token(text).ok_or_else(|| VocabularyError::ByteToken { id, text: shown(text) })?;
            tokens[usize::from(byte)].get_or_insert(id as u32);
        }
    }
    Ok(tokens)
}

/// The byte of a text `<0x0A>`.
pub(crate) fn byte_token(text: &[u8]) -> Option<u8> {
    let &[b'<', b'0', b'x', high, low, b'>'] = text else { return None };
    let digit = |c: u8| (c as char).to_digit(16);
    u8::try_from(digit(high)? * 16 + digit(low)?).ok()
}

/// A text from a file, made fit for a message.
fn shown(text: &[u8]) -> String {
    String::from_utf8_lossy(&text[..text.len().min(40)]).escape_debug().to_string()
}

/// GPT-2's alphabet: printable characters of Latin 1 stand for themselves, the other bytes, in order, for the
/// characters from U+0100 on.
const fn stands_for_itself(byte: u8) -> bool {
    matches!(byte, b'!'..=b'~' | 0xa1..=0xac | 0xae..=0xff)
}

const ALPHABET: ([char; 256], [Option<u8>; 0x144]) = alphabet();

const fn alphabet() -> ([char; 256], [Option<u8>; 0x144]) {
    let (mut chars, mut bytes) = (['\0'; 256], [None; 0x144]);
    let mut next = 0x100u32;
    let mut byte = 0;
    while byte < 256 {
        let code = if stands_for_itself(byte as u8) {
            byte as u32
        } else {
            next += 1;
            next - 1
        };
        chars[byte] = char::from_u32(code).expect("codes below U+0144 are characters");
        bytes[code as usize] = Some(byte as u8);
        byte += 1;
    }
    (chars, bytes)
}

/// The byte that a character of GPT-2's alphabet stands for.
pub(crate) fn byte_of(c: char) -> Option<u8> {
    ALPHABET.1.get(c as usize).copied().flatten()
}

/// The character of GPT-2's alphabet for a byte.
#[cfg(test)]
pub(crate) fn char_of(byte: u8) -> char {
    ALPHABET.0[usize::from(byte)]
}

/// The bytes that a text in GPT-2's alphabet spells. Characters outside it, which a user-made token may have,
/// stand for themselves.
fn bytes_of_alphabet(text: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.len());
    for chunk in text.utf8_chunks() {
        for c in chunk.valid().chars() {
            match byte_of(c) {
                Some(byte) => bytes.push(byte),
                None => bytes.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
            }
        }
        bytes.extend_from_slice(chunk.invalid());
    }
    bytes
}

/// The bytes that a text in GPT-2's alphabet spells, if all of its characters are of the alphabet.
pub(crate) fn spelt(text: &[u8]) -> Option<Vec<u8>> {
    std::str::from_utf8(text).ok()?.chars().map(byte_of).collect()
}

fn replace(text: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    let mut replaced = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((&first, after)) = rest.split_first() {
        match rest.strip_prefix(from) {
            Some(after) => {
                replaced.extend_from_slice(to);
                rest = after;
            }
            None => {
                replaced.push(first);
                rest = after;
            }
        }
    }
    replaced
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_alphabet_is_gpt2s_and_maps_back() {
        for (byte, c) in
            [(b'!', '!'), (b' ', 'Ġ'), (b'\n', 'Ċ'), (0, 'Ā'), (0x7f, 'ġ'), (0xad, 'Ń'), (0xff, 'ÿ')]
        {
            assert_eq!(char_of(byte), c, "{byte:#x}");
        }
        for byte in 0..=255 {
            assert_eq!(byte_of(char_of(byte)), Some(byte));
        }
        assert_eq!(byte_of('中'), None);
        assert_eq!(byte_of(' '), None);
    }

    #[test]
    fn byte_tokens_are_two_hexadecimal_digits() {
        for (text, byte) in [
            ("<0x0A>", Some(10)),
            ("<0xff>", Some(255)),
            ("<0x-1>", None),
            ("<0x+1>", None),
            ("<0x1>", None),
            ("<0x100>", None),
            ("", None),
        ] {
            assert_eq!(byte_token(text.as_bytes()), byte, "{text}");
        }
    }

    #[test]
    fn pieces_follow_kind_and_spelling() {
        let check = |text: &str, kind, spelling, expect: &[u8]| {
            assert_eq!(piece(text.as_bytes(), kind, spelling), expect, "{text} {kind:?} {spelling:?}");
        };
        check("Ġword", TokenKind::Normal, Spelling::Bytes, b" word");
        check("a中", TokenKind::Normal, Spelling::Bytes, "a中".as_bytes());
        check("▁a▁▁", TokenKind::Normal, Spelling::Plain, b" a  ");
        check("<0xE2>", TokenKind::Byte, Spelling::Plain, b"\xe2");
        check("▁", TokenKind::UserDefined, Spelling::Plain, "▁".as_bytes());
        check("<s>", TokenKind::Control, Spelling::Plain, b"");
    }
}
