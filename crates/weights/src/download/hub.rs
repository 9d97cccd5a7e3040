//! The hub's list of a repository's files, and the plan that follows from it.

use serde::Deserialize;
use ureq::http::{HeaderMap, header};

use super::choice::{self, NoChoice};
use super::http::{Client, host_of, join};
use super::{HubConfig, Meter, Origin, Plan, Progress, Target};
use crate::catalogue::is_sha256;
use crate::store::spec::{Pick, SplitPart};
use crate::store::{StoreError, hub_name, name, shown};

/// A page of the list holds up to 1,000 files.
const PAGES_MAX: usize = 50;
const PAGE_BYTES_MAX: u64 = 8 << 20;
const SPLIT_PARTS_MAX: u32 = 1000;

/// One entry of the list, as far as it matters.
#[derive(Debug, Deserialize)]
struct Entry {
    #[serde(rename = "type")]
    kind: String,
    path: String,
    #[serde(default)]
    size: u64,
    lfs: Option<LargeFile>,
}

/// The pointer of a file in the large-file storage; `oid` is the file's SHA-256.
#[derive(Debug, Deserialize)]
struct LargeFile {
    oid: String,
    size: u64,
}

/// Asks the hub what `pick` stands for in this repository.
pub(crate) fn plan_of_hub(
    spec: &str,
    repo: &str,
    pick: &Pick,
    hub: &HubConfig,
    progress: &mut dyn FnMut(Progress),
) -> Result<Plan, StoreError> {
    progress(Progress::Connecting { source: format!("{}/{repo}", host_of(&hub.endpoint)) });
    let client = Client::new(hub)?;
    let mut meter = Meter { progress, base: 0, total: 0 };
    let entries = list(&client, repo, &mut meter)?;
    let candidates: Vec<&str> = entries.iter().map(|entry| entry.path.as_str()).filter(is_first).collect();
    let nothing = |why: String| StoreError::NothingFits { repo: repo.to_owned(), why };
    let first = match choice::choose(&candidates, pick) {
        Ok(index) => candidates[index],
        Err(NoChoice::Several(choices)) => {
            return Err(StoreError::Ambiguous { name: spec.to_owned(), choices: shown_list(&choices) });
        }
        Err(NoChoice::Nothing) if candidates.is_empty() => {
            return Err(nothing("there is none in the repository".to_owned()));
        }
        Err(NoChoice::Nothing) => {
            return Err(nothing(format!("there are {}", shown_list(&choice::listed(&candidates)))));
        }
    };
    let paths = parts_of(first).map_err(nothing)?;
    let mut files = Vec::new();
    for path in &paths {
        let entry = entries.iter().find(|entry| entry.path == *path);
        let entry = entry.ok_or_else(|| nothing(format!("{} is missing", shown(path))))?;
        files.push(target_of(entry).map_err(|why| nothing(format!("{}: {why}", shown(path))))?);
    }
    let sum = files.iter().try_fold(0u64, |sum, file| sum.checked_add(file.bytes));
    if sum.is_none_or(|sum| i64::try_from(sum).is_err()) {
        return Err(nothing("the sizes in the hub's list cannot be".to_owned()));
    }
    let origin = Origin::Hub { repo: repo.to_owned(), revision: "main".to_owned(), paths };
    let licence = format!("see {}/{repo}", hub.endpoint.trim_end_matches('/'));
    Ok(Plan { name: hub_name(repo, first), licence, files, origins: vec![origin] })
}

/// All GGUF files of a repository, page by page.
fn list(client: &Client, repo: &str, meter: &mut Meter) -> Result<Vec<Entry>, StoreError> {
    let refused = |why: String| StoreError::Refused { host: client.host().to_owned(), why };
    let mut url = client.list_url(repo);
    let mut found: Vec<Entry> = Vec::new();
    for _ in 0..PAGES_MAX {
        let (headers, text) = client.get_text(&url, PAGE_BYTES_MAX, meter)?;
        let page: Vec<Entry> = serde_json::from_str(&text)
            .map_err(|error| refused(format!("sends a list of files that cannot be read: {error}")))?;
        // Names come from a stranger: one that could not be a plain path is as good as absent.
        let wanted = |entry: &Entry| {
            let gguf = entry.path.to_ascii_lowercase().ends_with(".gguf");
            entry.kind == "file" && gguf && name::check_repo_path(&entry.path).is_ok()
        };
        found.extend(page.into_iter().filter(wanted));
        match next_page(&headers) {
            Some(next) => {
                let base = url.parse().map_err(|_| refused("sends a bad address".to_owned()))?;
                url = join(&base, &next).ok_or_else(|| refused("sends a bad address".to_owned()))?;
            }
            None => return Ok(found),
        }
    }
    Err(refused(format!("lists more than {PAGES_MAX} pages of files; name one as hf:OWNER/REPO/FILE.gguf")))
}

/// The address in `Link: <…>; rel="next"`.
fn next_page(headers: &HeaderMap) -> Option<String> {
    let links = headers.get(header::LINK)?.to_str().ok()?;
    let next = links.split(',').find(|link| link.contains("rel=\"next\""))?;
    let (_, rest) = next.split_once('<')?;
    Some(rest.split_once('>')?.0.to_owned())
}

/// A split model stands for itself through its first part.
fn is_first(path: &&str) -> bool {
    SplitPart::parse(path).is_none_or(|part| part.number == 1)
}

/// All files of the model whose first one this is.
fn parts_of(first: &str) -> Result<Vec<String>, String> {
    let Some(part) = SplitPart::parse(first) else { return Ok(vec![first.to_owned()]) };
    if part.count > SPLIT_PARTS_MAX {
        return Err(format!("{} parts are more than {SPLIT_PARTS_MAX}", part.count));
    }
    let extension = &first[first.len() - ".gguf".len()..];
    Ok((1..=part.count).map(|n| format!("{}-{n:05}-of-{:05}{extension}", part.stem, part.count)).collect())
}

fn target_of(entry: &Entry) -> Result<Target, &'static str> {
    let (bytes, sha256) = match &entry.lfs {
        Some(large) if is_sha256(&large.oid) => (large.size, Some(large.oid.clone())),
        Some(_) => return Err("the hub's list gives no SHA-256 for it"),
        None => (entry.size, None),
    };
    if bytes == 0 {
        return Err("it is empty");
    }
    let name = entry.path.rsplit('/').next().unwrap_or(&entry.path).to_owned();
    Ok(Target { name, bytes, sha256 })
}

/// Several names for one message; each is bounded already by what a path may be.
fn shown_list(names: &str) -> String {
    let short: Vec<String> = names.split(", ").map(shown).collect();
    short.join(", ")
}
