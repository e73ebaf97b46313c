//! `cargo xtask studies`: the studies of `configs/studies`, and the configurations of `configs/tuned` that come from them.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;

use crate::run;

/// Where the studies stand while they run, below the root of the workspace.
const WORK: &str = "target/studies";

/// The files of a study.
struct Files {
    name: String,
    /// Its configuration.
    config: PathBuf,
    /// Its journal, compressed, as it is committed.
    kept: PathBuf,
    /// Its journal while it runs.
    journal: PathBuf,
    /// The best parameters of each router.
    tuned: PathBuf,
}

impl Files {
    fn new(name: &str) -> Self {
        let root = run::root();
        Files {
            name: name.to_owned(),
            config: root.join(format!("configs/studies/{name}.toml")),
            kept: root.join(format!("docs/results/studies/{name}.journal.gz")),
            journal: root.join(WORK).join(format!("{name}.journal")),
            tuned: root.join(format!("configs/tuned/{name}.toml")),
        }
    }
}

/// Continues the named studies, or all, from where they were kept, up to the number of trials of their configurations; keeps
/// them compressed, and writes the best parameters of their routers. A study that was interrupted is continued by the same
/// command.
pub(crate) fn run(names: &[&str]) -> Result<()> {
    let all = all()?;
    if let Some(unknown) = names.iter().find(|name| !all.iter().any(|known| known == **name)) {
        bail!("there is no study `{unknown}`; configs/studies has {}", all.join(", "));
    }
    for name in all.iter().filter(|name| names.is_empty() || names.contains(&name.as_str())) {
        continue_study(&Files::new(name)).with_context(|| format!("study {name}"))?;
    }
    Ok(())
}

/// The names of the studies.
fn all() -> Result<Vec<String>> {
    let folder = run::root().join("configs/studies");
    let mut names = Vec::new();
    for entry in fs::read_dir(&folder).with_context(|| format!("{}", folder.display()))? {
        let path = entry?.path();
        if path.extension() == Some(OsStr::new("toml")) {
            names.extend(path.file_stem().map(|name| name.to_string_lossy().into_owned()));
        }
    }
    names.sort();
    Ok(names)
}

fn continue_study(files: &Files) -> Result<()> {
    let folder = run::root().join(WORK);
    fs::create_dir_all(&folder).with_context(|| format!("{}", folder.display()))?;
    if !files.journal.exists() && files.kept.exists() {
        unpack(&files.kept, &files.journal)?;
    }
    for path in [&files.kept, &files.tuned] {
        let parent = path.parent().context("it is in a folder")?;
        fs::create_dir_all(parent).with_context(|| format!("{}", parent.display()))?;
    }
    let text = |path: &Path| -> Result<String> {
        let text = path.to_str().with_context(|| format!("{} is not text", path.display()))?;
        Ok(text.to_owned())
    };
    let (config, tuned) = (text(&files.config)?, text(&files.tuned)?);
    let journal = format!("{}.journal", files.name);
    let tune = ["run", "--release", "-p", "moe-bench", "--", "tune", &journal];
    let more = ["--config", &config, "--jobs", "2", "--write-best", &tuned];
    let args = [&tune[..], &more].concat();
    println!("$ cargo {} (in {WORK})", args.join(" "));
    // In the folder of the journal, so that it has the same name on every machine.
    let status = run::command(&args).current_dir(&folder).status().context("cannot start cargo")?;
    if !status.success() {
        bail!("moe tune ended with {status}; the same command continues the study");
    }
    pack(&files.journal, &files.kept)
}

fn unpack(from: &Path, to: &Path) -> Result<()> {
    let read = || -> io::Result<()> {
        let mut text = GzDecoder::new(BufReader::new(File::open(from)?));
        write_whole(to, |file| io::copy(&mut text, file).map(drop))
    };
    read().with_context(|| format!("{} to {}", from.display(), to.display()))
}

fn pack(from: &Path, to: &Path) -> Result<()> {
    let write = || -> io::Result<()> {
        write_whole(to, |file| {
            let mut packed = GzEncoder::new(file, Compression::best());
            io::copy(&mut BufReader::new(File::open(from)?), &mut packed)?;
            packed.finish().map(drop)
        })
    };
    write().with_context(|| format!("{} to {}", from.display(), to.display()))
}

/// Writes a file that is never there in part.
fn write_whole(
    path: &Path,
    write: impl FnOnce(&mut dyn Write) -> io::Result<()>,
) -> io::Result<()> {
    let part = path.with_extension("part");
    let mut file = BufWriter::new(File::create(&part)?);
    write(&mut file)?;
    file.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()?;
    fs::rename(part, path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_journal_is_unpacked_as_it_was_packed() {
        let place = tempfile::tempdir().unwrap();
        let [plain, packed, again] = ["a", "a.gz", "b"].map(|name| place.path().join(name));
        let text = "{\"op_code\":0}\n".repeat(1000);
        fs::write(&plain, &text).unwrap();
        pack(&plain, &packed).unwrap();
        assert!(fs::metadata(&packed).unwrap().len() < text.len() as u64 / 10);
        unpack(&packed, &again).unwrap();
        assert_eq!(fs::read_to_string(&again).unwrap(), text);
        assert_eq!(fs::read_dir(place.path()).unwrap().count(), 3);
        fs::write(&packed, "other").unwrap();
        let error = format!("{:#}", unpack(&packed, &again).unwrap_err());
        assert!(error.contains("a.gz to "), "{error}");
        assert_eq!(fs::read_to_string(&again).unwrap(), text, "what was there stays");
    }

    #[test]
    fn unknown_studies_are_named() {
        let error = run(&["multi-optdigit"]).unwrap_err().to_string();
        assert!(error.contains("no study `multi-optdigit`") && error.contains("multi-optdigits"));
    }

    /// Every study that is committed can be read, is small, and has a configuration.
    #[test]
    fn kept_studies_belong_to_configurations() {
        let folder = run::root().join("docs/results/studies");
        let Ok(entries) = fs::read_dir(folder) else { return };
        for entry in entries {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            let Some(name) = name.strip_suffix(".journal.gz") else { continue };
            let files = Files::new(name);
            assert!(files.config.is_file() && files.tuned.is_file(), "{name}");
            assert!(fs::metadata(&path).unwrap().len() < 1 << 20, "{name}");
            let lines = io::read_to_string(GzDecoder::new(File::open(&path).unwrap())).unwrap();
            assert!(lines.lines().all(|line| line.starts_with('{') && line.ends_with('}')));
        }
    }
}
