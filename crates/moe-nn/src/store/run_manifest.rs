//! The manifest of a run, `manifest.json`, and the names of the files of a run.

use moe_core::checksum::{self, hex};
use moe_core::files::whole_name;
use serde::{Deserialize, Serialize};

/// Version of the manifest and of the files that it names. Runs of all earlier formats are read; the next checkpoint gives
/// them this one.
///
/// | format | what is different from the next one |
/// | --- | --- |
/// | 1 | in `state`, the optimiser's moments are a list in the order of the model's parameters, without names |
pub(crate) const FORMAT: u32 = 2;
pub(crate) const MANIFEST: &str = "manifest.json";
pub(crate) const CONFIG: &str = "config.resolved.toml";
pub(crate) const FEATURES: &str = "features.json";
pub(crate) const METRICS: &str = "metrics.jsonl";
pub(crate) const CARD: &str = "model.md";
pub(crate) const RESULT: &str = "result.json";

/// Content of `manifest.json`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Manifest {
    pub(crate) format: u32,
    /// Number of the checkpoint.
    pub(crate) generation: u64,
    pub(crate) epochs: usize,
    pub(crate) best_epoch: usize,
    pub(crate) seed: u64,
    /// Instruction set of the matrix products; results may differ between instruction sets in the last bits.
    pub(crate) instruction_set: String,
    /// Descriptions of the models that the weights belong to.
    pub(crate) models: RunModels,
    pub(crate) files: Files,
    /// Digest of this file, computed with zeros in its place; empty in runs of earlier versions.
    #[serde(default)]
    pub(crate) sha256: String,
}

impl Manifest {
    /// The content of the manifest file.
    pub(crate) fn to_text(&self) -> String {
        let zeros = "0".repeat(64);
        let zeroed = Manifest { sha256: zeros.clone(), ..self.clone() };
        let text = serde_json::to_string_pretty(&zeroed).expect("a manifest has text keys") + "\n";
        with_last(&text, &zeros, &sha256(text.as_bytes()))
    }

    /// Names of all files that the run may have at this checkpoint.
    pub(crate) fn file_names(&self) -> Vec<&str> {
        let Files { card, result, metrics, last, best, learning, state, .. } = &self.files;
        let optional = [card, result, learning].into_iter().flatten();
        let checkpoint = [metrics, last, best, state].into_iter().chain(optional);
        let names = checkpoint.map(|entry| entry.name.as_str());
        [MANIFEST, CONFIG, FEATURES].into_iter().chain(names).collect()
    }

    /// Reads the content of a manifest file.
    ///
    /// # Errors
    /// A description of what is wrong with it.
    pub(crate) fn from_text(text: &str) -> Result<Self, String> {
        let json: serde_json::Value =
            serde_json::from_str(text).map_err(|error| error.to_string())?;
        let found = &json["format"];
        if !found.as_u64().is_some_and(|format| (1..=FORMAT.into()).contains(&format)) {
            return Err(format!(
                "has format {found}, but this program reads formats 1 to {FORMAT}"
            ));
        }
        let manifest: Manifest = serde_json::from_value(json).map_err(|error| error.to_string())?;
        let digest = &manifest.sha256;
        let zeroed = with_last(text, digest, &"0".repeat(digest.len()));
        if !digest.is_empty() && sha256(zeroed.as_bytes()) != *digest {
            return Err("has been changed: its SHA-256 is not the one that it records".into());
        }
        manifest.check_names()?;
        Ok(manifest)
    }

    /// Refuses a name that a run does not give to such a file: a manifest may come from somebody else, and must not name files
    /// outside of its directory.
    fn check_names(&self) -> Result<(), String> {
        let Files { config, features, card, result, metrics, last, best, learning, state } =
            &self.files;
        let fixed = [(config, CONFIG), (features, FEATURES), (card, CARD), (result, RESULT)];
        let fixed = fixed.into_iter().filter_map(|(entry, name)| Some((entry.as_ref()?, name)));
        let weights = [(Some(last), "last"), (Some(best), "best"), (learning.as_ref(), "learning")];
        let weights = weights.into_iter().filter_map(|(entry, name)| Some((entry?, name)));
        let wrong = fixed.chain([(metrics, METRICS)]).find(|(entry, name)| entry.name != *name);
        let wrong = wrong.or_else(|| {
            let is_wrong = |(entry, name): &(&FileEntry, &str)| {
                !is_numbered(&entry.name, name, ".safetensors")
            };
            let is_wrong_state = !is_numbered(&state.name, "state", "");
            weights.into_iter().find(is_wrong).or(is_wrong_state.then_some((state, "state")))
        });
        match wrong {
            Some((entry, role)) => Err(format!(
                "names the file {:?} as {role}, which is not a name of a run",
                entry.name
            )),
            None => Ok(()),
        }
    }
}

/// The text with the last occurrence of `word` replaced by `other`.
fn with_last(text: &str, word: &str, other: &str) -> String {
    match text.rsplit_once(word) {
        Some((before, after)) => format!("{before}{other}{after}"),
        None => text.into(),
    }
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct RunModels {
    pub(crate) last: serde_json::Value,
    pub(crate) best: serde_json::Value,
    /// Names of the tensors that the model of the last weights has and the folded model of the best weights lacks.
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
    /// The model card of this checkpoint; the next checkpoint starts without one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) card: Option<FileEntry>,
    /// The results of this checkpoint; the next checkpoint starts without them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) result: Option<FileEntry>,
    pub(crate) metrics: FileEntry,
    pub(crate) last: FileEntry,
    pub(crate) best: FileEntry,
    /// The tensors of [`RunModels::folded`] that belong to the best weights.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) learning: Option<FileEntry>,
    pub(crate) state: FileEntry,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct FileEntry {
    pub(crate) name: String,
    /// Length in bytes. `metrics.jsonl` may have grown since; then it is the length at the checkpoint.
    pub(crate) bytes: u64,
    pub(crate) sha256: String,
}

impl FileEntry {
    pub(crate) fn of(name: String, content: &[u8]) -> Self {
        FileEntry { name, bytes: content.len() as u64, sha256: sha256(content) }
    }
}

/// Returns whether `name` is a file name that run directories use.
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

/// Returns whether `name` is `start` and `end`, with nothing or a dash and a number between them.
fn is_numbered(name: &str, start: &str, end: &str) -> bool {
    let rest = name.strip_prefix(start).and_then(|rest| rest.strip_suffix(end));
    rest.is_some_and(is_checkpoint)
}

/// Returns whether a file of this name and length is only in the directory of a run that has been trained: a checkpoint after
/// the first one, one with its final name, or a log with lines.
pub(crate) fn is_trace_of_training(name: &str, length: u64) -> bool {
    let stem = name.strip_suffix(".safetensors").unwrap_or(name);
    let is_first = stem.ends_with("-0");
    match name {
        METRICS => length > 0,
        MANIFEST | CONFIG | FEATURES | CARD | RESULT => false,
        _ => is_own(name) && whole_name(name) == name && !is_first,
    }
}

/// Returns whether `suffix` is empty, or a dash and a number.
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
            "manifest.json.12-3.partial",
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
