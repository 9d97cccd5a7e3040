//! Which GGUF of a repository is meant: by name alone, since nothing of the file is here yet.

use std::path::Path;

use crate::store::spec::{Pick, SplitPart, has_gguf_extension};

/// What is taken when the user names no quantisation: first what is small and nearly as good as the original.
const PREFERRED: [&str; 23] = [
    "Q4_K_M", "Q4_0", "Q4_K_S", "Q8_0", "Q5_K_M", "Q5_K_S", "Q6_K", "Q4_1", "IQ4_NL", "IQ4_XS", "MXFP4",
    "Q5_0", "Q5_1", "Q4_K", "Q5_K", "Q3_K_M", "Q3_K_L", "Q3_K_S", "Q2_K", "BF16", "F16", "FP16", "F32",
];

/// How many names stand in a message.
const SHOWN_MAX: usize = 4;

/// Why there is no choice.
#[derive(Debug, PartialEq)]
pub(crate) enum NoChoice {
    /// No file fits.
    Nothing,
    /// Several fit equally; the first few of them.
    Several(String),
}

/// Chooses among the first files of a repository's models; returns the position.
pub(crate) fn choose(paths: &[&str], pick: &Pick) -> Result<usize, NoChoice> {
    match pick {
        Pick::File(path) => {
            let first = SplitPart::first_of(path);
            let wanted = first.as_deref().unwrap_or(path);
            paths.iter().position(|path| *path == wanted).ok_or(NoChoice::Nothing)
        }
        Pick::Quant(quant) => by_quant(paths, quant),
        Pick::Default => {
            for quant in PREFERRED {
                match by_quant(paths, quant) {
                    Err(NoChoice::Nothing) => {}
                    found => return found,
                }
            }
            let models: Vec<usize> = (0..paths.len()).filter(|&i| is_language_model(paths[i])).collect();
            the_one(paths, models)
        }
    }
}

/// The first few of these paths, for a message.
pub(crate) fn listed(paths: &[&str]) -> String {
    let more = if paths.len() > SHOWN_MAX { ", …" } else { "" };
    format!("{}{more}", paths[..paths.len().min(SHOWN_MAX)].join(", "))
}

fn by_quant(paths: &[&str], quant: &str) -> Result<usize, NoChoice> {
    let fits = |i: &usize| is_language_model(paths[*i]) && has_quant(paths[*i], quant);
    let mut fitting: Vec<usize> = (0..paths.len()).filter(fits).collect();
    // `UD-Q4_K_M` is a mix that some publishers put beside the plain `Q4_K_M`; it has to be asked for by that name.
    let plain: Vec<usize> =
        fitting.iter().copied().filter(|&i| !has_quant(paths[i], &format!("UD-{quant}"))).collect();
    if !plain.is_empty() {
        fitting = plain;
    }
    the_one(paths, fitting)
}

fn the_one(paths: &[&str], fitting: Vec<usize>) -> Result<usize, NoChoice> {
    match fitting[..] {
        [] => Err(NoChoice::Nothing),
        [one] => Ok(one),
        _ => {
            let names: Vec<&str> = fitting.iter().map(|&i| paths[i]).collect();
            Err(NoChoice::Several(listed(&names)))
        }
    }
}

/// Whether the file name holds the quantisation as a word of its own: `Q4_K` is not in `model-Q4_K_M.gguf`.
fn has_quant(path: &str, quant: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or(path).to_ascii_lowercase();
    let quant = quant.to_ascii_lowercase();
    let part_of_word = |c: char| c.is_ascii_alphanumeric();
    name.match_indices(&quant).any(|(at, _)| {
        let before = name[..at].chars().next_back();
        let after = name[at + quant.len()..].chars().next();
        !before.is_some_and(part_of_word) && !after.is_some_and(|c| part_of_word(c) || c == '_')
    })
}

/// Whether the file can be a model by itself, not the eyes of one or the data of a quantiser.
fn is_language_model(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or(path).to_ascii_lowercase();
    has_gguf_extension(Path::new(&name)) && !name.starts_with("mmproj") && !name.contains("imatrix")
}
