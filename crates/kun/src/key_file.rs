//! The file of `--keys`: who may use a server, and how much. It holds hashes; a key itself is nowhere.
//!
//! ```toml
//! [[key]]
//! name = "alice"
//! sha256 = "…"              # of the key, in hexadecimal digits
//! max_concurrent = 4         # these three may be left out
//! tokens_per_minute = 100000
//! tokens_per_day = 2000000
//! ```

use std::path::Path;

use serde::Deserialize;
use server::Key;

use crate::failure::{Failure, Outcome};

/// Bytes of the file.
const FILE_BYTES_MAX: usize = 16 << 20;
const NAME_CHARS_MAX: usize = 100;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct KeyFile {
    #[serde(default)]
    key: Vec<Entry>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    name: String,
    sha256: String,
    max_concurrent: Option<usize>,
    tokens_per_minute: Option<u64>,
    tokens_per_day: Option<u64>,
}

/// Reads the keys. A file without any is a mistake: the server would be open to everybody.
pub(crate) fn read(path: &Path) -> Outcome<Vec<Key>> {
    let bytes = std::fs::read(path).map_err(|e| Failure::file("read", path, &e))?;
    let shown = path.display();
    if bytes.len() > FILE_BYTES_MAX {
        return Err(Failure::usage(format!(
            "{shown} is larger than {FILE_BYTES_MAX} bytes: is it a key file?"
        )));
    }
    let text = String::from_utf8(bytes).map_err(|_| Failure::usage(format!("{shown} is not valid UTF-8")))?;
    parse(&text).map_err(|message| Failure::usage(format!("{shown}: {message}")))
}

fn parse(text: &str) -> Result<Vec<Key>, String> {
    let file: KeyFile = toml::from_str(text).map_err(|error| {
        let line = error.span().map_or(1, |span| text[..span.start].matches('\n').count() + 1);
        // The error's own text shows the line, which could have a key in it that was mistaken for its hash.
        format!("line {line}: {}", error.message().lines().next().unwrap_or_default())
    })?;
    let mut keys: Vec<Key> = Vec::with_capacity(file.key.len());
    for (index, entry) in file.key.into_iter().enumerate() {
        let key = entry.check().map_err(|message| format!("key number {}: {message}", index + 1))?;
        if keys.iter().any(|known| known.name == key.name || known.sha256 == key.sha256) {
            return Err(format!("key number {}: another has the same name or sha256", index + 1));
        }
        keys.push(key);
    }
    if keys.is_empty() {
        return Err("there is no [[key]] in it; make one with `kun key new NAME`".to_owned());
    }
    Ok(keys)
}

impl Entry {
    fn check(self) -> Result<Key, String> {
        let Entry { name, sha256, max_concurrent, tokens_per_minute, tokens_per_day } = self;
        check_name(&name)?;
        let sha256 =
            hash_of(&sha256).ok_or("sha256 must be the 64 hexadecimal digits that `kun key new` prints")?;
        let limits = [max_concurrent.map(|n| n as u64), tokens_per_minute, tokens_per_day];
        for (limit, field) in limits.iter().zip(["max_concurrent", "tokens_per_minute", "tokens_per_day"]) {
            if *limit == Some(0) {
                return Err(format!("{field} is 0; leave out the whole key if it may nothing"));
            }
        }
        Ok(Key { name, sha256, max_concurrent, tokens_per_minute, tokens_per_day })
    }
}

/// A name can stand in a line of a log.
pub(crate) fn check_name(name: &str) -> Result<(), String> {
    let fits = (1..=NAME_CHARS_MAX).contains(&name.chars().count()) && !name.chars().any(char::is_control);
    if fits {
        Ok(())
    } else {
        Err(format!("a name has 1 to {NAME_CHARS_MAX} characters, no control characters"))
    }
}

fn hash_of(digits: &str) -> Option<[u8; 32]> {
    let mut hash = [0; 32];
    if digits.len() != 64 || !digits.is_ascii() {
        return None;
    }
    for (byte, pair) in hash.iter_mut().zip(digits.as_bytes().chunks(2)) {
        *byte = u8::from_str_radix(str::from_utf8(pair).ok()?, 16).ok()?;
    }
    Some(hash)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_read_whole_or_refused_with_what_is_wrong() {
        let digits = "ab".repeat(32);
        let key = |more: &str| format!("[[key]]\nname = \"a\"\nsha256 = \"{digits}\"\n{more}");
        let keys = parse(&key("max_concurrent = 2\n")).expect("a file");
        assert_eq!((keys.len(), keys[0].sha256, keys[0].max_concurrent), (1, [0xab; 32], Some(2)));
        for (text, part) in [
            (String::new(), "no [[key]]"),
            (key("tokens_per_hour = 3\n"), "line 4"),
            (key("tokens_per_day = 0\n"), "tokens_per_day is 0"),
            (key("tokens_per_day = -1\n"), "line 4"),
            (key(&key("")), "same name"),
            ("[[key]]\nname = \"a\"\nsha256 = \"secret\"\n".to_owned(), "64 hexadecimal"),
            (key("").replace("\"a\"", "\"\""), "1 to 100"),
            ("[[key]]\nname = \"a\"\n".to_owned(), "sha256"),
        ] {
            let message = parse(&text).expect_err("it is wrong");
            assert!(message.contains(part) && !message.contains("secret"), "{message}: {text}");
        }
    }
}
