//! Tokenizers on small vocabularies made here: every text comes back, bytes are never lost, work stays in proportion.

use text::decoder::StreamDecoder;
use text::tokenizer::{Fim, Specials, Tokenizer};
use text::vocabulary::{TokenKind, Vocabulary, VocabularyError};

/// GPT-2's character for a byte.
fn character(byte: u8) -> char {
    let printable = |b: u8| matches!(b, b'!'..=b'~' | 0xa1..=0xac | 0xae..=0xff);
    if printable(byte) {
        return char::from(byte);
    }
    let before = (0..byte).filter(|&b| !printable(b)).count() as u32;
    char::from_u32(0x100 + before).expect("there are 68 of them")
}

/// Bytes 0 to 255, merged tokens, a control token and one that the user defined.
fn bpe(merged: &[(&str, &str)]) -> Vocabulary {
    let mut tokens: Vec<Vec<u8>> = (0..=255).map(|b| character(b).to_string().into_bytes()).collect();
    tokens.extend(merged.iter().map(|(a, b)| format!("{a}{b}").into_bytes()));
    let mut kinds = vec![TokenKind::Normal; tokens.len()];
    tokens.extend([b"<|end|>".to_vec(), b"<user>".to_vec()]);
    kinds.extend([TokenKind::Control, TokenKind::UserDefined]);
    let merges = merged.iter().map(|(a, b)| format!("{a} {b}")).collect();
    let (model, pre) = ("gpt2".to_owned(), Some("gpt-2".to_owned()));
    Vocabulary { model, pre, tokens, kinds, merges, ..Vocabulary::default() }
}

/// SentencePiece: `<unk>`, 256 byte tokens if wanted, then pieces with their scores.
fn spm(bytes: bool, pieces: &[(&str, f32)]) -> Vocabulary {
    let mut vocabulary = Vocabulary { model: "llama".to_owned(), ..Vocabulary::default() };
    let mut push = |text: &str, score, kind| {
        vocabulary.tokens.push(text.as_bytes().to_vec());
        vocabulary.scores.push(score);
        vocabulary.kinds.push(kind);
    };
    push("<unk>", 0.0, TokenKind::Unknown);
    for byte in 0..if bytes { 256 } else { 0 } {
        push(&format!("<0x{byte:02X}>"), 0.0, TokenKind::Byte);
    }
    pieces.iter().for_each(|(text, score)| push(text, *score, TokenKind::Normal));
    vocabulary
}

fn build(vocabulary: Vocabulary) -> Tokenizer {
    Tokenizer::new(vocabulary).expect("it is whole")
}

fn texts(tokenizer: &Tokenizer, ids: &[u32]) -> Vec<String> {
    ids.iter().map(|&id| tokenizer.token_text(id).expect("an id").into_owned()).collect()
}

/// Characters of every kind from a small generator (xorshift), the same in every run.
fn random_text(seed: u64) -> String {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = move |below: u32| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 33) as u32 % below
    };
    let ends = [0x80, 0x80, 0x800, 0x3000, 0x1_0000, 0x11_0000];
    let length = next(60);
    let mut char_of = || {
        let end = ends[next(6) as usize];
        if next(4) == 0 { Some(' ') } else { char::from_u32(next(end)) }
    };
    (0..length).filter_map(|_| char_of()).collect()
}

#[test]
fn any_text_comes_back_from_bytes_whole_and_token_by_token() {
    let merged = [("h", "e"), ("l", "l"), ("he", "ll"), ("Ġ", "he"), ("Ã", "©"), ("Ġ", "Ġ")];
    let byte_level = build(bpe(&merged));
    let scores = build(Vocabulary {
        add_space_prefix: Some(false),
        ..spm(true, &[("▁", -1.0), ("he", -2.0), ("▁he", -3.0), ("é", -4.0)])
    });
    for tokenizer in [&byte_level, &scores] {
        for seed in 0..2000 {
            // The mark for a space is no text of its own for SentencePiece.
            let text = random_text(seed).replace('▁', "_");
            let ids = tokenizer.encode(&text, Specials::AsText);
            assert_eq!(tokenizer.decode(&ids, false), text.as_bytes(), "{text:?}");
            let mut decoder = StreamDecoder::new();
            let mut streamed = String::new();
            for &id in &ids {
                streamed += &decoder.push(tokenizer.piece(id).expect("an id"));
                assert!(text.starts_with(&streamed), "{text:?} began with {streamed:?}");
            }
            assert_eq!(streamed + &decoder.finish(), text);
        }
    }
}

#[test]
fn any_bytes_in_any_pieces_decode_as_if_they_came_at_once() {
    // Each cut of each text, with a byte turned into another one.
    for (seed, at) in (0..300).flat_map(|seed| (0..8).map(move |at| (seed, at))) {
        let mut bytes = random_text(seed).into_bytes();
        bytes.truncate(40);
        if let Some(byte) = bytes.get_mut(at * 5) {
            *byte = byte.wrapping_add(0x40 * (1 + at as u8 % 3));
        }
        let expect = String::from_utf8_lossy(&bytes).into_owned();
        for cut in 0..=bytes.len() {
            let mut decoder = StreamDecoder::new();
            let text = decoder.push(&bytes[..cut]) + &decoder.push(&bytes[cut..]) + &decoder.finish();
            assert_eq!(text, expect, "{bytes:x?} cut at {cut}");
        }
    }
}

#[test]
fn merges_go_by_rank_and_then_from_the_left() {
    let check = |merged: &[(&str, &str)], text: &str, expect: &[&str]| {
        let tokenizer = build(bpe(merged));
        assert_eq!(texts(&tokenizer, &tokenizer.encode(text, Specials::AsText)), expect, "{merged:?}");
    };
    check(&[("a", "b"), ("b", "c")], "abc", &["ab", "c"]);
    check(&[("b", "c"), ("a", "b")], "abc", &["a", "bc"]);
    check(&[("a", "a")], "aaa", &["aa", "a"]);
    check(&[("a", "a"), ("aa", "aa")], "aaaaaaa", &["aaaa", "aa", "a"]);
    // A later merge that becomes possible by another one still waits for its rank.
    check(&[("ab", "c"), ("a", "b"), ("c", "d")], "abcd", &["abc", "d"]);
    // Words do not merge with each other.
    check(&[("a", "Ġ"), ("Ġ", "a")], "a a", &["a", "Ġa"]);
}

#[test]
fn scores_decide_what_merges_and_bytes_spell_the_rest() {
    let check = |vocabulary: Vocabulary, text: &str, expect: &[&str]| {
        let tokenizer = build(Vocabulary { add_space_prefix: Some(false), ..vocabulary });
        assert_eq!(texts(&tokenizer, &tokenizer.encode(text, Specials::AsText)), expect, "{text}");
    };
    let letters = [("a", 0.0), ("b", 0.0), ("c", 0.0)];
    check(spm(true, &[&letters[..], &[("ab", -1.0), ("bc", -2.0)]].concat()), "abc", &["ab", "c"]);
    check(spm(true, &[&letters[..], &[("ab", -2.0), ("bc", -1.0)]].concat()), "abc", &["a", "bc"]);
    // Neither character is a token, and both together are.
    check(spm(true, &[("é!", -1.0)]), "é!é", &["é!", "<0xC3>", "<0xA9>"]);
    // Without byte tokens there is the unknown one, once for a character.
    check(spm(false, &letters), "aéb", &["a", "<unk>", "b"]);
}

#[test]
fn a_word_is_taken_apart_from_its_longest_beginning_or_is_unknown() {
    let tokens = ["[UNK]", "[CLS]", "[SEP]", "▁play", "ing", "▁un", "able", "▁,", "▁中", "▁e", "▁play▁"];
    let vocabulary = Vocabulary {
        model: "bert".to_owned(),
        tokens: tokens.map(|text| text.as_bytes().to_vec()).to_vec(),
        kinds: (0..tokens.len())
            .map(|id| if id < 3 { TokenKind::Control } else { TokenKind::Normal })
            .collect(),
        ..Vocabulary::default()
    };
    let tokenizer = build(vocabulary);
    for (text, expect) in [
        ("Playing,playing", &["▁play", "ing", "▁,", "▁play", "ing"][..]),
        ("UNABLE  unplay", &["▁un", "able", "[UNK]"]),
        ("中中é", &["▁中", "▁中", "▁e"]),
        ("\u{0}\u{200d} \u{fffd}", &[]),
    ] {
        assert_eq!(texts(&tokenizer, &tokenizer.encode(text, Specials::AsText)), expect, "{text:?}");
    }
    let long = "play".repeat(26);
    assert_eq!(tokenizer.encode(&long, Specials::AsText), [0], "more than 100 characters");
    assert_eq!(tokenizer.encode_prompt("play", Specials::AsText), [1, 3, 2]);
}

#[test]
fn control_tokens_are_found_only_when_asked_for_and_user_tokens_always() {
    let tokenizer = build(bpe(&[]));
    let (end, user) = (256, 257);
    assert_eq!(tokenizer.encode("a<|end|><user>", Specials::Parse), [97, end, user]);
    let as_text = tokenizer.encode("a<|end|><user>", Specials::AsText);
    assert_eq!((as_text.len(), as_text.last()), (1 + 7 + 1, Some(&user)));
    assert!(!as_text.contains(&end));
    assert_eq!(tokenizer.decode(&[97, end, user], false), b"a<user>");
    assert_eq!(tokenizer.decode(&[97, end, user], true), b"a<|end|><user>");
    assert_eq!(tokenizer.decode(&[u32::MAX, 97], true), b"a", "an id outside the vocabulary is nothing");
}

#[test]
fn a_megabyte_of_one_letter_is_no_problem() {
    // With a merge for every power of two, or with none, a quadratic encoder would take minutes for each.
    let powers: Vec<String> = (0..10).map(|power| "a".repeat(1 << power)).collect();
    let merged: Vec<(&str, &str)> = powers.iter().map(|half| (half.as_str(), half.as_str())).collect();
    let text = "a".repeat(1 << 20);
    for (tokenizer, tokens) in [
        (build(bpe(&merged)), 1 << 10),
        (build(bpe(&[])), 1 << 20),
        (build(spm(true, &[("a", 0.0), ("aa", -1.0), ("aaaa", -2.0)])), (1 << 18) + 3),
        (build(spm(true, &[])), (1 << 20) + 3),
    ] {
        assert_eq!(tokenizer.encode(&text, Specials::AsText).len(), tokens);
    }
    for letter in [" ", "\n", "\t", "'", "é", "1", "<", "<|end|", " \n"] {
        let text = letter.repeat((1 << 20) / letter.len());
        let tokenizer = build(bpe(&[]));
        let ids = tokenizer.encode(&text, Specials::Parse);
        assert_eq!(tokenizer.decode(&ids, true), text.as_bytes(), "{letter:?}");
    }
}

#[test]
fn vocabularies_that_cannot_work_are_refused() {
    let check = |vocabulary: Vocabulary, part: &str| {
        let error: VocabularyError = Tokenizer::new(vocabulary).expect_err(part);
        assert!(error.to_string().contains(part), "{error}");
    };
    check(Vocabulary { tokens: Vec::new(), kinds: Vec::new(), ..bpe(&[]) }, "empty");
    check(Vocabulary { model: "t5".to_owned(), ..bpe(&[]) }, "\"t5\"");
    check(Vocabulary { pre: Some("telepathy".to_owned()), ..bpe(&[]) }, "\"telepathy\"");
    check(Vocabulary { kinds: vec![TokenKind::Normal], ..bpe(&[]) }, "token_type: 1 entries for 258");
    check(Vocabulary { eos: Some(258), ..bpe(&[]) }, "eos_token_id: 258");
    check(Vocabulary { fim_suffix: Some(258), ..bpe(&[]) }, "fim_suf_token_id: 258");
    check(Vocabulary { add_bos: Some(true), ..bpe(&[]) }, "bos_token_id");
    check(Vocabulary { scores: Vec::new(), ..spm(true, &[]) }, "scores");
    let mut broken = spm(true, &[]);
    broken.tokens[1] = b"<0x-1>".to_vec();
    check(broken, "token 1 is a byte token");
    let mut long = bpe(&[]);
    long.tokens[0] = vec![b'a'; 5000];
    check(long, "5000 bytes");
}

#[test]
fn tokens_are_found_by_their_texts() {
    let mut vocabulary = bpe(&[("h", "e"), ("Ġ", "he")]);
    let special = vocabulary.tokens.len() as u32 - 2;
    vocabulary.tokens.push(b"he".to_vec());
    vocabulary.kinds.push(TokenKind::Normal);
    let tokenizer = build(vocabulary);
    for (text, expect) in [
        ("h", Some(u32::from(b'h'))),
        ("he", Some(256)),
        ("Ġhe", Some(257)),
        ("<|end|>", Some(special)),
        (" he", None),
        ("", None),
    ] {
        assert_eq!(tokenizer.id_of(text.as_bytes()), expect, "{text:?}");
    }
}

#[test]
fn the_tokens_around_a_gap_come_from_the_vocabulary() {
    assert_eq!(build(bpe(&[])).fim(), None);
    let named = Vocabulary { fim_prefix: Some(1), fim_suffix: Some(2), fim_middle: Some(3), ..bpe(&[]) };
    assert_eq!(build(named).fim(), Some(Fim { prefix: 1, suffix: 2, middle: 3 }));
}
