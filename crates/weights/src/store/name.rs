//! What may be a name. Names come from users, from the hub's answers and from files in the store, and they
//! become directory and file names, so nothing that could lead out of the store passes here.

use sha2::{Digest, Sha256};

/// The longest name or path in a repository, in bytes.
pub(crate) const NAME_BYTES_MAX: usize = 200;

/// Names that Windows gives to devices, whatever extension follows them.
const RESERVED: [&str; 4] = ["con", "prn", "aux", "nul"];

/// Checks a model's name like `smollm2:135m`: words of letters, digits, `.`, `_` and `-`, joined by `:`.
pub(crate) fn check_model_name(name: &str) -> Result<(), String> {
    check_length(name)?;
    name.split(':').try_for_each(check_word)
}

/// Checks `OWNER/REPO` as the hub allows it.
pub(crate) fn check_repo(repo: &str) -> Result<(), String> {
    check_length(repo)?;
    let (owner, repo) = repo.split_once('/').ok_or("OWNER/REPO is needed")?;
    [owner, repo].into_iter().try_for_each(check_word)
}

/// Checks a path inside a repository or a wheel: relative, each of its parts a plain file name.
pub(crate) fn check_repo_path(path: &str) -> Result<(), String> {
    check_length(path)?;
    path.split('/').try_for_each(check_file_name)
}

/// Checks a file name: one path component on every system.
pub(crate) fn check_file_name(name: &str) -> Result<(), String> {
    check_length(name)?;
    if name.starts_with('.') || name.ends_with(['.', ' ']) {
        return Err("it must not start with `.` or end with `.` or a space".to_owned());
    }
    if let Some(c) = name.chars().find(|&c| c.is_control() || r#"/\:*?"<>|"#.contains(c)) {
        return Err(format!("it must not contain {c:?}"));
    }
    let stem = name.split('.').next().unwrap_or(name).trim_end().to_ascii_lowercase();
    let port = stem.strip_prefix("com").or_else(|| stem.strip_prefix("lpt"));
    let is_port = port.is_some_and(|digit| matches!(digit.as_bytes(), [b'0'..=b'9']));
    if is_port || RESERVED.contains(&stem.as_str()) {
        return Err("it is a device's name on Windows".to_owned());
    }
    Ok(())
}

/// The directory of a model in the store: readable, of bounded length, and different for different names even
/// where the file system ignores case.
pub(crate) fn directory_name(name: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() || "._-".contains(c) { c } else { '-' };
    let readable: String = name.trim_start_matches('.').chars().take(80).map(plain).collect();
    format!("{readable}-{}", &hex(&Sha256::digest(name.as_bytes()))[..12])
}

/// Lower-case hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn check_word(word: &str) -> Result<(), String> {
    check_file_name(word)?;
    match word.chars().find(|&c| !c.is_ascii_alphanumeric() && !"._-".contains(c)) {
        Some(c) => Err(format!("it must not contain {c:?}")),
        None => Ok(()),
    }
}

fn check_length(name: &str) -> Result<(), String> {
    match name.len() {
        0 => Err("it is empty".to_owned()),
        1..=NAME_BYTES_MAX => Ok(()),
        n => Err(format!("it has {n} bytes, at most {NAME_BYTES_MAX} are allowed")),
    }
}
