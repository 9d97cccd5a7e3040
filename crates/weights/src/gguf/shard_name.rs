//! The names of the files of a split model: `PREFIX-00001-of-00003.gguf`.

use std::fmt;

/// The name of one part, taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShardName {
    /// What stands before the numbers, `"Qwen3-235B-Q4_K_M"`.
    pub prefix: String,
    /// Which part, from 1.
    pub number: u32,
    /// How many parts there are.
    pub count: u32,
}

impl ShardName {
    /// Takes a file name (without folders) apart. `None` if it isn't of the form above, with five digits each and
    /// a number of 1 to the count.
    pub fn parse(file_name: &str) -> Option<ShardName> {
        let stem = file_name.strip_suffix(".gguf")?;
        let (rest, count) = stem.rsplit_once("-of-")?;
        let (prefix, number) = rest.rsplit_once('-')?;
        let (number, count) = (five_digits(number)?, five_digits(count)?);
        (1..=count).contains(&number).then(|| ShardName { prefix: prefix.to_string(), number, count })
    }

    /// The name of part `number` of the same model.
    pub fn sibling(&self, number: u32) -> ShardName {
        ShardName { number, ..self.clone() }
    }
}

impl fmt::Display for ShardName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{:05}-of-{:05}.gguf", self.prefix, self.number, self.count)
    }
}

fn five_digits(text: &str) -> Option<u32> {
    // `parse` alone would take "+0001".
    (text.len() == 5 && text.bytes().all(|byte| byte.is_ascii_digit())).then(|| text.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_come_apart_and_together() {
        let name = ShardName::parse("my-model-of-x-00002-of-00003.gguf").expect("a shard's name");
        assert_eq!(name, ShardName { prefix: "my-model-of-x".into(), number: 2, count: 3 });
        assert_eq!(name.to_string(), "my-model-of-x-00002-of-00003.gguf");
        assert_eq!(name.sibling(3).to_string(), "my-model-of-x-00003-of-00003.gguf");
    }

    #[test]
    fn other_names_are_not_shards() {
        for name in [
            "model.gguf",
            "model-00001-of-00003.bin",
            "model-1-of-3.gguf",
            "model-00000-of-00003.gguf",
            "model-00004-of-00003.gguf",
            "model-+0001-of-00003.gguf",
            "model-000001-of-00003.gguf",
            "00001-of-00003.gguf",
            "",
        ] {
            assert_eq!(ShardName::parse(name), None, "{name}");
        }
    }
}
