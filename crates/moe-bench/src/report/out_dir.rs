//! Directories for the results of commands.

use std::fs::{self, File};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use moe_core::files::replace_file;
use serde::Serialize;

use crate::error::Error;

/// A directory for the results of a command.
#[derive(Debug)]
pub(crate) struct OutDir {
    pub(crate) path: PathBuf,
}

impl OutDir {
    /// The directory `path`, which must be new or empty; without it the first free one of `runs/NAME`, `runs/NAME-2`, ….
    ///
    /// # Errors
    /// If the directory cannot be made, is a file or is not empty.
    pub(crate) fn create(path: Option<&Path>, name: &str) -> Result<Self, Error> {
        let Some(path) = path else {
            return Self::create_free(name);
        };
        let problem = match fs::read_dir(path).map(|mut entries| entries.next().is_some()) {
            Ok(true) => "is not empty",
            Err(error) if error.kind() == ErrorKind::NotADirectory && path.is_file() => "is a file",
            _ => {
                fs::create_dir_all(path).map_err(Error::file(path))?;
                return Ok(OutDir { path: path.into() });
            }
        };
        Err(Error::out_dir(path, format!("{problem}; pass a new directory with --out")))
    }

    fn create_free(name: &str) -> Result<Self, Error> {
        let parent = Path::new("runs");
        fs::create_dir_all(parent).map_err(Error::file(parent))?;
        for number in 1.. {
            let suffix = if number == 1 { String::new() } else { format!("-{number}") };
            let path = parent.join(format!("{name}{suffix}"));
            // `create_dir` fails if the directory exists, so two commands that start at once get different ones.
            match fs::create_dir(&path) {
                Ok(()) => return Ok(OutDir { path }),
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
                Err(error) => return Err(Error::file(path)(error)),
            }
        }
        unreachable!("there is always a free name")
    }

    /// Takes the directory for this process with the first file that it will write there, `name`, empty until then.
    ///
    /// # Errors
    /// If another process was faster.
    pub(crate) fn claim(&self, name: &str) -> Result<(), Error> {
        let path = self.path.join(name);
        match File::create_new(&path) {
            Ok(_) => Ok(()),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                let problem =
                    "another process has begun to write here; pass a new directory with --out";
                Err(Error::out_dir(&self.path, problem))
            }
            Err(error) => Err(Error::file(path)(error)),
        }
    }

    /// Writes the file `name`, replacing it as a whole.
    pub(crate) fn write(&self, name: &str, text: &str) -> Result<(), Error> {
        let path = self.path.join(name);
        replace_file(&path, text.as_bytes()).map_err(Error::file(path))
    }

    /// Writes a line of JSON per value.
    pub(crate) fn write_lines(&self, name: &str, values: &[impl Serialize]) -> Result<(), Error> {
        let line = |value| serde_json::to_string(value).expect("results have text keys") + "\n";
        self.write(name, &values.iter().map(line).collect::<String>())
    }
}

/// A value as indented JSON.
pub(crate) fn to_json(value: &impl Serialize) -> String {
    serde_json::to_string_pretty(value).expect("results have text keys")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_of_two_that_found_it_empty_has_it() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("out");
        let [first, second] = [(); 2].map(|()| OutDir::create(Some(&path), "test").unwrap());
        first.claim("results").unwrap();
        let error = second.claim("results").unwrap_err().to_string();
        assert!(error.ends_with(
            "out: another process has begun to write here; pass a new directory with --out"
        ));
        first.write("results", "1").unwrap();
        let error = OutDir::create(Some(&path), "test").unwrap_err().to_string();
        assert!(error.ends_with("out: is not empty; pass a new directory with --out"), "{error}");
    }
}
