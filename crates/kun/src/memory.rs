//! How much memory a model needs and how much there is.

use std::fs;
use std::path::Path;

use weights::gguf::{Gguf, Metadata};

use crate::failure::{Failure, Outcome};
use crate::terminal::bytes;

/// Bytes of a number in the KV cache: f16.
const KV_NUMBER_BYTES: u64 = 2;

/// Bytes that a model needs at a context length.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Need {
    pub(crate) weights: u64,
    pub(crate) kv: u64,
}

impl Need {
    /// Both together.
    pub(crate) fn total(self) -> u64 {
        self.weights.saturating_add(self.kv)
    }

    /// Refuses what this machine has no room for, before any of it is allocated.
    pub(crate) fn check(self, name: &str, ctx: usize) -> Outcome {
        match available() {
            Some(available) if self.total() > available => Err(Failure::memory(format!(
                "{name} needs {} ({} of weights, {} for a context of {ctx}), {} are free\n\
                 try a smaller --ctx, a smaller quantisation such as Q4_K_M, or a smaller model",
                bytes(self.total()),
                bytes(self.weights),
                bytes(self.kv),
                bytes(available)
            ))),
            _ => Ok(()),
        }
    }
}

/// Bytes of keys and values of one token over all layers, read from the model's hyper-parameters; none for a
/// file that lacks them, such as one that holds only a vocabulary.
pub(crate) fn kv_bytes_per_token(metadata: &Metadata) -> Option<u64> {
    let architecture = metadata.get("general.architecture")?.text()?;
    let number = |key: &str| -> Option<u64> {
        u64::try_from(metadata.get(&format!("{architecture}.{key}"))?.integer()?).ok()
    };
    let heads = number("attention.head_count");
    let head_dim = || number("embedding_length")?.checked_div(heads?);
    let key_dim = number("attention.key_length").or_else(head_dim)?;
    let value_dim = number("attention.value_length").or_else(head_dim)?;
    let kv_heads = number("attention.head_count_kv").or(heads)?;
    let layers = number("block_count")?;
    layers.checked_mul(kv_heads)?.checked_mul(key_dim.checked_add(value_dim)?)?.checked_mul(KV_NUMBER_BYTES)
}

/// The same from the matrices that make keys and values, 0 without any. What a broken file announces may be any
/// number, and is for loading to refuse; a tensor is as large as it is.
pub(crate) fn kv_bytes_per_token_of_tensors(gguf: &Gguf) -> u64 {
    let makes_them = |name: &str| name.ends_with(".attn_k.weight") || name.ends_with(".attn_v.weight");
    let rows = gguf.tensors().filter(|t| makes_them(&t.name)).filter_map(|t| t.shape.get(1));
    rows.fold(0, |sum: u64, rows| sum.saturating_add(*rows)).saturating_mul(KV_NUMBER_BYTES)
}

/// Memory that can be had without swapping, as far as the system tells: the machine's, or what a limit of a container or
/// service leaves if that is less.
pub(crate) fn available() -> Option<u64> {
    let machine = fs::read_to_string("/proc/meminfo").ok().and_then(|text| meminfo_available(&text));
    let own = fs::read_to_string("/proc/self/cgroup").ok();
    let own = own.as_deref().and_then(own_group).unwrap_or("/");
    let groups = Path::new(own).ancestors().filter_map(|group| {
        let folder = Path::new("/sys/fs/cgroup").join(group.strip_prefix("/").unwrap_or(group));
        // "max" is no number and no limit.
        let limit: u64 = fs::read_to_string(folder.join("memory.max")).ok()?.trim().parse().ok()?;
        let used: u64 = fs::read_to_string(folder.join("memory.current")).ok()?.trim().parse().ok()?;
        // What the group has of files can be taken back.
        let files = fs::read_to_string(folder.join("memory.stat")).ok();
        let files = files.and_then(|text| stat(&text, "file")).unwrap_or(0);
        Some(limit.saturating_sub(used.saturating_sub(files)))
    });
    machine.into_iter().chain(groups).min()
}

/// Memory that this process has: what the operating system counts as resident.
pub(crate) fn resident() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

/// The process's group in the one hierarchy that there is.
fn own_group(text: &str) -> Option<&str> {
    text.lines().find_map(|line| line.strip_prefix("0::"))
}

/// A number of a group's statistics.
fn stat(text: &str, name: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok())
}

fn meminfo_available(text: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn available_memory_is_read_from_the_systems_table() {
        let text = "MemTotal:       24689764 kB\nMemAvailable:   23000000 kB\nBuffers: 1 kB\n";
        assert_eq!(meminfo_available(text), Some(23_000_000 * 1024));
        assert_eq!(meminfo_available("MemTotal: 5 kB\n"), None);
    }

    #[test]
    fn the_group_and_its_numbers_are_found() {
        assert_eq!(
            own_group("1:name=x:/a\n0::/system.slice/kun.service\n"),
            Some("/system.slice/kun.service")
        );
        assert_eq!(own_group("1:memory:/a\n"), None);
        assert_eq!(stat("anon 5\nfile_mapped 1\nfile 7\n", "file"), Some(7));
        assert!(resident().is_some_and(|bytes| bytes > 1 << 20));
    }

    #[test]
    fn what_cannot_fit_is_refused_with_its_parts_and_what_would_work() {
        let failure =
            Need { weights: u64::MAX / 2, kv: 1 << 30 }.check("big", 4096).expect_err("no machine has it");
        assert_eq!(failure.exit_code(), 5);
        let text = failure.to_string();
        assert!(text.contains("1.0 GiB for a context of 4096") && text.contains("--ctx"), "{text}");
        assert!(Need { weights: 1, kv: 1 }.check("small", 16).is_ok());
    }
}
