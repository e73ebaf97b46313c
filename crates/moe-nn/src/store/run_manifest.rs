//! What `manifest.json` of a run says, and the names of a run's files.

use moe_core::checksum::{self, hex};
use moe_core::files::whole_name;
use serde::{Deserialize, Serialize};

/// Version of the manifest and of what it names.
pub(crate) const FORMAT: u32 = 1;
pub(crate) const MANIFEST: &str = "manifest.json";
pub(crate) const CONFIG: &str = "config.resolved.toml";
pub(crate) const FEATURES: &str = "features.json";
pub(crate) const METRICS: &str = "metrics.jsonl";
pub(crate) const CARD: &str = "model.md";
pub(crate) const RESULT: &str = "result.json";

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
    /// Of this file, with zeros in its place; empty in runs of earlier versions.
    #[serde(default)]
    pub(crate) sha256: String,
}

impl Manifest {
    /// The content of its file.
    pub(crate) fn to_text(&self) -> String {
        let zeros = "0".repeat(64);
        let zeroed = Manifest { sha256: zeros.clone(), ..self.clone() };
        let text = serde_json::to_string_pretty(&zeroed).expect("a manifest has text keys") + "\n";
        with_last(&text, &zeros, &sha256(text.as_bytes()))
    }

    /// The manifest of a file, else what is wrong with it.
    pub(crate) fn from_text(text: &str) -> Result<Self, String> {
        let json: serde_json::Value =
            serde_json::from_str(text).map_err(|error| error.to_string())?;
        let found = &json["format"];
        if found != FORMAT {
            return Err(format!("is of format {found}, this program reads format {FORMAT}"));
        }
        let manifest: Manifest = serde_json::from_value(json).map_err(|error| error.to_string())?;
        let digest = &manifest.sha256;
        let zeroed = with_last(text, digest, &"0".repeat(digest.len()));
        if !digest.is_empty() && sha256(zeroed.as_bytes()) != *digest {
            return Err("has been changed: its SHA-256 is not the one that it says".into());
        }
        Ok(manifest)
    }
}

/// The text with another word in the place of the last of these.
fn with_last(text: &str, word: &str, other: &str) -> String {
    match text.rsplit_once(word) {
        Some((before, after)) => format!("{before}{other}{after}"),
        None => text.into(),
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Models {
    pub(crate) last: serde_json::Value,
    pub(crate) best: serde_json::Value,
    /// Names of the tensors of the model of the last weights that the model of the best ones, which is folded, has not.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) folded: Vec<String>,
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
    /// As the card.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) result: Option<FileEntry>,
    pub(crate) metrics: FileEntry,
    pub(crate) last: FileEntry,
    pub(crate) best: FileEntry,
    /// The tensors of [`Models::folded`], as they were with the best weights.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) learning: Option<FileEntry>,
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
    let name = whole_name(name);
    let stem = name.strip_suffix(".safetensors").unwrap_or(name);
    let number = |prefix| stem.strip_prefix(prefix).is_some_and(is_checkpoint);
    match name {
        MANIFEST | CONFIG | FEATURES | METRICS | CARD | RESULT => true,
        _ if stem.len() < name.len() => ["last", "best", "learning"].into_iter().any(number),
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
    hex(&checksum::sha256(content))
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
            "learning-12.safetensors",
            "result.json",
            "state",
            "state-0",
        ] {
            assert!(is_own(name), "{name}");
        }
        for name in [
            "results.json",
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
