//! What a user may write for a model: a name of the catalogue, `hf:OWNER/REPO…`, or the path of a file.

use std::path::{Path, PathBuf};

use super::error::StoreError;
use super::name;
use crate::catalogue::{Catalogue, Model};

/// The longest text that is looked at as a path.
const PATH_BYTES_MAX: usize = 4096;

/// A model as the user named it, checked.
#[derive(Debug, PartialEq)]
pub(crate) enum Spec<'a> {
    /// A model of the catalogue.
    Catalogue(&'a Model),
    /// Files of a repository on the hub.
    Hub { repo: String, pick: Pick },
    /// A file of the user's own; it need not exist.
    File(PathBuf),
}

/// Which of a repository's files are meant.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Pick {
    /// The one that suits most.
    Default,
    /// The one with this quantisation in its name.
    Quant(String),
    /// This path; of a split model, any of its parts.
    File(String),
}

impl<'a> Spec<'a> {
    /// Reads what the user wrote. Nothing is looked up outside the catalogue.
    pub(crate) fn parse(text: &str, catalogue: &'a Catalogue) -> Result<Spec<'a>, StoreError> {
        let bad = |why: String| StoreError::bad_name(text, why);
        if text.chars().any(char::is_control) {
            return Err(bad("it contains control characters".to_owned()));
        }
        if text.len() > PATH_BYTES_MAX {
            return Err(bad(format!("it has {} bytes", text.len())));
        }
        if let Some(rest) = text.strip_prefix("hf:") {
            return parse_hub(rest).map_err(bad);
        }
        if let Some(model) = catalogue.find(text) {
            return Ok(Spec::Catalogue(model));
        }
        if has_gguf_extension(Path::new(text)) || text.contains(['/', '\\']) {
            return Ok(Spec::File(PathBuf::from(text)));
        }
        name::check_model_name(text).map_err(bad)?;
        let known: Vec<&str> = catalogue.models().iter().map(|model| model.name.as_str()).collect();
        Err(StoreError::UnknownModel { name: text.to_owned(), known: known.join(", ") })
    }
}

/// Whether the path ends in `.gguf`, in any case.
pub(crate) fn has_gguf_extension(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("gguf"))
}

/// The position of one part in a split model: `model-00002-of-00003.gguf` is part 2 of 3 of `model`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct SplitPart<'a> {
    pub(crate) stem: &'a str,
    pub(crate) number: u32,
    pub(crate) count: u32,
}

impl<'a> SplitPart<'a> {
    /// Reads a file's name or path; `None` for a model that is one file.
    pub(crate) fn parse(path: &'a str) -> Option<SplitPart<'a>> {
        let cut = path.len().checked_sub(".gguf".len())?;
        let (rest, extension) = path.split_at_checked(cut)?;
        let (rest, count) = rest.rsplit_once("-of-")?;
        let (stem, number) = rest.rsplit_once('-')?;
        let digits = |s: &str| s.len() == 5 && s.bytes().all(|b| b.is_ascii_digit());
        if !extension.eq_ignore_ascii_case(".gguf") || !digits(number) || !digits(count) {
            return None;
        }
        let (number, count) = (number.parse().ok()?, count.parse().ok()?);
        (1..=count).contains(&number).then_some(SplitPart { stem, number, count })
    }

    /// The name of the first part of the model that `path` is a part of.
    pub(crate) fn first_of(path: &str) -> Option<String> {
        let part = SplitPart::parse(path)?;
        let extension = &path[path.len() - ".gguf".len()..];
        Some(format!("{}-00001-of-{:05}{extension}", part.stem, part.count))
    }
}

fn parse_hub(rest: &str) -> Result<Spec<'static>, String> {
    let mut pieces = rest.splitn(3, '/');
    let (owner, repo) = (pieces.next().unwrap_or_default(), pieces.next().unwrap_or_default());
    if let Some(path) = pieces.next() {
        let repo = format!("{owner}/{repo}");
        name::check_repo(&repo)?;
        name::check_repo_path(path)?;
        if !has_gguf_extension(Path::new(path)) {
            return Err("the file must end in .gguf".to_owned());
        }
        return Ok(Spec::Hub { repo, pick: Pick::File(path.to_owned()) });
    }
    let (repo, pick) = match repo.split_once(':') {
        Some((repo, quant)) => (repo, Pick::Quant(quant.to_owned())),
        None => (repo, Pick::Default),
    };
    if let Pick::Quant(quant) = &pick {
        name::check_model_name(quant).map_err(|why| format!("the part after the colon: {why}"))?;
    }
    let repo = format!("{owner}/{repo}");
    name::check_repo(&repo)?;
    Ok(Spec::Hub { repo, pick })
}
