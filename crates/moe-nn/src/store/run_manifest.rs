//! The manifest of a run, `manifest.json`, and the names of the files of a run.

use moe_core::checksum::{self, hex};
use moe_core::files::whole_name;
use serde::{Deserialize, Deserializer, Serialize};

/// Version of the manifest and of the files that it names. Runs of all earlier formats are read; the next checkpoint gives
/// them this one.
///
/// | format | what is different from the next one |
/// | --- | --- |
/// | 1 | the optimiser's moments are in `state`, a list in the order of the model's parameters, without names; `last`, `best` and `learning` are one file each |
pub(crate) const FORMAT: u32 = 2;
pub(crate) const MANIFEST: &str = "manifest.json";
/// The manifest of the checkpoint before, until the run is finished.
pub(crate) const PREVIOUS: &str = "manifest.previous.json";
pub(crate) const CONFIG: &str = "config.resolved.toml";
pub(crate) const FEATURES: &str = "features.json";
pub(crate) const METRICS: &str = "metrics.jsonl";
pub(crate) const CARD: &str = "model.md";
pub(crate) const RESULT: &str = "result.json";
pub(crate) const STATE: &str = "state";
/// The roles of files of tensors.
const ROLES: [&str; 4] = ["last", "best", "learning", "moments"];
/// The ending of the name of such a file.
const TENSORS: &str = ".safetensors";
/// No run has so many checkpoints.
const MOST_GENERATIONS: u64 = 1 << 53;

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

    /// Names of all files of the run at this checkpoint.
    pub(crate) fn file_names(&self) -> impl Iterator<Item = &str> {
        let Files { config, features, card, result, metrics, state, .. } = &self.files;
        let optional = [config, features, card, result].into_iter().flatten();
        let tensors = self.files.tensors().into_iter().flat_map(|(_, entries)| entries);
        let entries = [metrics, state].into_iter().chain(optional).chain(tensors);
        entries.map(|entry| entry.name.as_str())
    }

    /// The manifest of the same checkpoint without the texts about it, which the next checkpoint replaces.
    pub(crate) fn without_texts(&self) -> Self {
        let files = Files { card: None, result: None, ..self.files.clone() };
        Manifest { files, ..self.clone() }
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
        manifest.check()?;
        Ok(manifest)
    }

    /// Refuses what no run has: a manifest may come from somebody else, and must not name files outside of its directory.
    fn check(&self) -> Result<(), String> {
        let Manifest { generation, epochs, best_epoch, files, .. } = self;
        if *generation > MOST_GENERATIONS || best_epoch > epochs {
            return Err(format!(
                "says that the best of {epochs} epochs is epoch {best_epoch}, in checkpoint {generation}"
            ));
        }
        let Files { config, features, card, result, metrics, state, .. } = files;
        let fixed = [(config, CONFIG), (features, FEATURES), (card, CARD), (result, RESULT)];
        let fixed = fixed.into_iter().filter_map(|(entry, name)| Some((entry.as_ref()?, name)));
        let is_wrong = |(entry, name): &(&FileEntry, &str)| entry.name != *name;
        let mut wrong = fixed.chain([(metrics, METRICS)]).find(is_wrong);
        for (role, entries) in files.tensors() {
            let is_wrong = |entry: &&FileEntry| !is_tensors(&entry.name, role);
            wrong = wrong.or(entries.iter().find(is_wrong).map(|entry| (entry, role)));
        }
        let is_state = state.name.strip_prefix(STATE).is_some_and(is_checkpoint);
        wrong = wrong.or((!is_state).then_some((state, STATE)));
        if let Some((entry, role)) = wrong {
            let name = &entry.name;
            return Err(format!("names the file {name:?} as {role}, which is not a name of a run"));
        }
        match [(&files.last, "last"), (&files.best, "best")].iter().find(|of| of.0.is_empty()) {
            Some((_, role)) => Err(format!("names no file as {role}")),
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

/// The files of a checkpoint. Tensors are in one file, or in one for each rank that trained a part of the model.
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
    #[serde(deserialize_with = "one_or_more")]
    pub(crate) last: Vec<FileEntry>,
    #[serde(deserialize_with = "one_or_more")]
    pub(crate) best: Vec<FileEntry>,
    /// The tensors of [`RunModels::folded`] that belong to the best weights.
    #[serde(default, deserialize_with = "one_or_more", skip_serializing_if = "Vec::is_empty")]
    pub(crate) learning: Vec<FileEntry>,
    /// The optimiser's moments; none before the first step.
    #[serde(default, deserialize_with = "one_or_more", skip_serializing_if = "Vec::is_empty")]
    pub(crate) moments: Vec<FileEntry>,
    pub(crate) state: FileEntry,
}

impl Files {
    /// The files of tensors, with their roles.
    pub(crate) fn tensors(&self) -> [(&'static str, &Vec<FileEntry>); 4] {
        let [last, best, learning, moments] = ROLES;
        [
            (last, &self.last),
            (best, &self.best),
            (learning, &self.learning),
            (moments, &self.moments),
        ]
    }

    /// All files of a checkpoint that have its number in their names.
    pub(crate) fn numbered_mut(&mut self) -> impl Iterator<Item = &mut FileEntry> {
        let Files { last, best, learning, moments, state, .. } = self;
        [last, best, learning, moments].into_iter().flatten().chain([state])
    }
}

/// Reads a list of files, or the one file that runs of format 1 have instead.
fn one_or_more<'de, D: Deserializer<'de>>(input: D) -> Result<Vec<FileEntry>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum OneOrMore {
        One(FileEntry),
        More(Vec<FileEntry>),
    }
    Ok(match OneOrMore::deserialize(input)? {
        OneOrMore::One(entry) => vec![entry],
        OneOrMore::More(entries) => entries,
    })
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
    match name {
        MANIFEST | PREVIOUS | CONFIG | FEATURES | METRICS | CARD | RESULT => true,
        _ => {
            ROLES.iter().any(|role| is_tensors(name, role))
                || name.strip_prefix(STATE).is_some_and(is_checkpoint)
        }
    }
}

/// Returns whether a file of this name and length is only in the directory of a run that has been trained: a checkpoint after
/// the first one, one with its final name, or a log with lines.
pub(crate) fn is_trace_of_training(name: &str, length: u64) -> bool {
    let is_first = name.contains("-0.") || name.ends_with("-0");
    match name {
        METRICS => length > 0,
        MANIFEST | PREVIOUS | CONFIG | FEATURES | CARD | RESULT => false,
        _ => is_own(name) && whole_name(name) == name && !is_first,
    }
}

/// Returns whether `name` is that of a file of tensors with this role: of one checkpoint, such as `last-12.safetensors`, or at
/// rest, such as `last.safetensors`; of one of several ranks, such as `last-12.0003.safetensors`.
fn is_tensors(name: &str, role: &str) -> bool {
    let rest = name.strip_prefix(role).and_then(|rest| rest.strip_suffix(TENSORS));
    rest.is_some_and(|rest| match rest.split_once('.') {
        Some((checkpoint, rank)) => is_checkpoint(checkpoint) && rank.len() == 4 && is_number(rank),
        None => is_checkpoint(rest),
    })
}

/// The name without the number of the checkpoint: `last.safetensors` of `last-12.safetensors`.
pub(crate) fn name_at_rest(name: &str) -> String {
    match name.split_once('-') {
        Some((role, rest)) => {
            role.to_owned() + rest.trim_start_matches(|digit: char| digit.is_ascii_digit())
        }
        None => name.into(),
    }
}

/// Returns whether `suffix` is empty, or a dash and a number.
fn is_checkpoint(suffix: &str) -> bool {
    suffix.is_empty() || suffix.strip_prefix('-').is_some_and(is_number)
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
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
            "best-12.0003.safetensors",
            "moments.0003.safetensors",
            "manifest.previous.json",
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
            "best-12.3.safetensors",
            "best-12..safetensors",
            "state-3.0001",
            "state12",
            "state.safetensors",
            "last-1.safetensors.bak",
            "notes.txt",
        ] {
            assert!(!is_own(name), "{name}");
        }
    }
}
