//! What `manifest.json` of a run says, and the names of a run's files.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// Version of the manifest and of what it names.
pub(crate) const FORMAT: u32 = 1;
pub(crate) const MANIFEST: &str = "manifest.json";
pub(crate) const CONFIG: &str = "config.resolved.toml";
pub(crate) const FEATURES: &str = "features.json";
pub(crate) const METRICS: &str = "metrics.jsonl";
pub(crate) const CARD: &str = "model.md";

/// `manifest.json`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Manifest {
    pub(crate) format: u32,
    /// Number of the checkpoint.
    pub(crate) generation: u64,
    pub(crate) epochs: usize,
    pub(crate) best_epoch: usize,
    pub(crate) seed: u64,
    /// What products were computed with; results may differ between instruction sets in the last bits.
    pub(crate) instruction_set: String,
    /// Descriptions of the models whose weights these are.
    pub(crate) models: Models,
    pub(crate) files: Files,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Models {
    pub(crate) last: serde_json::Value,
    pub(crate) best: serde_json::Value,
}

/// The files of a checkpoint.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Files {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) config: Option<FileEntry>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) features: Option<FileEntry>,
    /// Of the checkpoint's model: the next checkpoint has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) card: Option<FileEntry>,
    pub(crate) metrics: FileEntry,
    pub(crate) last: FileEntry,
    pub(crate) best: FileEntry,
    pub(crate) state: FileEntry,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct FileEntry {
    pub(crate) name: String,
    /// Of `metrics.jsonl`, which may have grown since: those that belong to the checkpoint.
    pub(crate) bytes: u64,
    pub(crate) sha256: String,
}

impl FileEntry {
    pub(crate) fn of(name: String, content: &[u8]) -> Self {
        FileEntry { name, bytes: content.len() as u64, sha256: sha256(content) }
    }
}

/// Whether a run directory makes files of this name.
pub(crate) fn is_own(name: &str) -> bool {
    let name = name.strip_suffix(".partial").unwrap_or(name);
    let stem = name.strip_suffix(".safetensors").unwrap_or(name);
    let number = |prefix| stem.strip_prefix(prefix).is_some_and(is_checkpoint);
    match name {
        MANIFEST | CONFIG | FEATURES | METRICS | CARD => true,
        _ if stem.len() < name.len() => number("last") || number("best"),
        _ => number("state"),
    }
}

/// Nothing, or a dash and a number.
fn is_checkpoint(suffix: &str) -> bool {
    let digits = suffix.strip_prefix('-').unwrap_or("0");
    let is_dashed = suffix.is_empty() || suffix.starts_with('-');
    is_dashed && !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit())
}

pub(crate) fn sha256(content: &[u8]) -> String {
    Sha256::digest(content).iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_own_files_are_known() {
        for name in [
            "manifest.json",
            "manifest.json.partial",
            "config.resolved.toml",
            "features.json",
            "metrics.jsonl",
            "model.md",
            "last.safetensors",
            "best-12.safetensors",
            "state",
            "state-0",
        ] {
            assert!(is_own(name), "{name}");
        }
        for name in [
            "result.json",
            "last",
            "best-x.safetensors",
            "state-",
            "state12",
            "state.safetensors",
            "last-1.safetensors.bak",
            "notes.txt",
        ] {
            assert!(!is_own(name), "{name}");
        }
    }
}
