//! The configuration that a run or a comparison was started with, when it is continued.

use std::path::Path;

use moe_nn::Models;

use crate::config::Config;
use crate::error::Error;
use crate::experiment::experiment::completed;

/// Refuses to continue what is in `path`, whose configuration was `saved`, with another one.
///
/// # Errors
/// If they differ, with the first line that does.
pub(crate) fn check_same(
    path: &Path,
    saved: &str,
    given: &str,
    models: &Models,
) -> Result<(), Error> {
    let saved = as_written_now(saved, models).unwrap_or_else(|| saved.to_owned());
    let Some(difference) = difference(&saved, given) else { return Ok(()) };
    let problem = format!(
        "was started with another configuration; {difference}; resume with the saved configuration, or start a new run in \
         another directory"
    );
    Err(Error::out_dir(path, problem))
}

/// The first line in which two configurations differ, in words; `None` if they are the same.
pub(crate) fn difference(saved: &str, given: &str) -> Option<String> {
    let (mut old, mut new) = (saved.lines(), given.lines());
    loop {
        match (old.next(), new.next()) {
            (None, None) => return None,
            (old, new) if old == new => {}
            (old, new) => {
                let [old, new] = [old, new].map(|line| line.unwrap_or_default());
                return Some(format!("the first difference is `{old}`, now `{new}`"));
            }
        }
    }
}

/// The configuration of a saved run as this version saves it from this working directory: with the keys that an earlier version
/// did not have, and with absolute paths.
fn as_written_now(saved: &str, models: &Models) -> Option<String> {
    let mut config = completed(&Config::parse_saved(saved).ok()?, models).ok()?;
    let entry = moe_data::find(&config.dataset.name).ok()?;
    config.dataset.options = entry.resolve(&config.dataset.options).ok()?;
    Some(config.to_toml())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_difference_is_named() {
        let says = |old: &str, new: &str| format!("the first difference is `{old}`, now `{new}`");
        assert_eq!(difference("a = 1\nb = 2\n", "a = 1\nb = 2\n"), None);
        assert_eq!(
            difference("a = 1\nb = 2\n", "a = 1\nb = 3\nc = 4\n"),
            Some(says("b = 2", "b = 3"))
        );
        // One of them goes on where the other one ends.
        assert_eq!(difference("a = 1\n", "a = 1\nb = 3\n"), Some(says("", "b = 3")));
        assert_eq!(difference("a = 1\nb = 2\n", "a = 1\n"), Some(says("b = 2", "")));
    }

    /// A run that an earlier version began goes on: it has named its file relative to the directory, and knew fewer keys.
    #[test]
    fn what_an_earlier_version_saved_means_the_same() {
        let text = "[dataset]\nname = \"table\"\n[dataset.table]\nfile = \"Cargo.toml\"\nnumbers = [\"age\"]\n\
                    unknown = \"shared\"\ntargets = [{ column = \"x\", kind = \"binary\" }]\n\
                    [run]\nrouters = [\"hash\"]\nbaseline = \"hash\"\n";
        let models = Models::standard();
        let mut config = completed(&Config::parse(text).unwrap(), &models).unwrap();
        let entry = moe_data::find("table").unwrap();
        config.dataset.options = entry.resolve(&config.dataset.options).unwrap();
        let now = config.to_toml();
        let file = std::path::absolute("Cargo.toml").unwrap();
        assert!(now.contains(file.to_str().unwrap()), "{now}");
        let missing = "missing = [\"\", \"NA\", \"null\"]\n";
        assert!(now.contains(missing), "{now}");
        let parameter = "k-experts = false\n";
        assert!(now.contains(parameter), "{now}");
        let saved = now.replace(missing, "").replace(parameter, "");
        let saved = saved.replace(file.to_str().unwrap(), "Cargo.toml");
        let as_written_now = |saved: &str| super::as_written_now(saved, &models);
        assert_eq!(as_written_now(&saved), Some(now.clone()));
        // Anything else is a difference.
        let other = saved.replace("unknown = \"shared\"", "unknown = \"refuse\"");
        assert_ne!(as_written_now(&other), Some(now));
        assert_eq!(as_written_now("[dataset]\nname = 3\n"), None);
    }
}
