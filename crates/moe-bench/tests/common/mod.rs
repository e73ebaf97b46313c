//! Shared by the tests of the command: a new folder for each test, and the result of a call.
#![allow(dead_code, unreachable_pub)]

pub mod journal;
pub mod pages;
pub mod people;
pub mod running;
pub mod training;

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use assert_cmd::cargo::cargo_bin_cmd;
use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::Value;
use tempfile::TempDir;

/// A comparison of all routers in about a second.
pub const SMOKE: [&str; 5] = ["compare", "--preset", "smoke", "--progress", "none"];

/// The smallest comparison.
pub const TINY: [&str; 10] = [
    "compare",
    "--preset",
    "smoke",
    "--progress",
    "none",
    "--set",
    "run.seeds=1",
    "--set",
    "train.epochs=1",
    "--format=json",
];

/// A new folder that commands run in, removed at the end.
pub struct Place(TempDir);

/// The output of a command and its exit status.
#[derive(Debug)]
pub struct Ran {
    pub status: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

/// Copies the files of a folder into a new one.
pub fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let name = entry.unwrap().file_name();
        fs::copy(from.join(&name), to.join(&name)).unwrap();
    }
}

impl Place {
    pub fn new() -> Self {
        Place(tempfile::tempdir().unwrap())
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Writes a file, and the folders above it.
    pub fn write(&self, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, bytes).unwrap();
        path
    }

    pub fn read(&self, name: &str) -> Vec<u8> {
        let path = self.path(name);
        fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    }

    pub fn text(&self, name: &str) -> String {
        String::from_utf8(self.read(name)).unwrap()
    }

    pub fn json(&self, name: &str) -> Value {
        serde_json::from_str(&self.text(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    /// Names of what is in a folder, sorted.
    pub fn list(&self, name: &str) -> Vec<String> {
        let Ok(entries) = fs::read_dir(self.path(name)) else { return Vec::new() };
        let name = |entry: fs::DirEntry| entry.file_name().into_string().unwrap();
        let mut names: Vec<String> = entries.map(|entry| name(entry.unwrap())).collect();
        names.sort();
        names
    }

    /// The program, to be run here, without the data sets of whoever runs the tests.
    pub fn command(&self, args: &[&str]) -> assert_cmd::Command {
        let mut command = cargo_bin_cmd!("moe");
        command.current_dir(self.0.path()).args(args).env_remove("MOE_DATA_DIR");
        command.env("XDG_CACHE_HOME", self.path("cache"));
        command
    }

    /// The program, started here with pipes.
    pub fn start(&self, args: &[&str]) -> Child {
        Command::new(env!("CARGO_BIN_EXE_moe"))
            .current_dir(self.0.path())
            .args(args)
            .env_remove("MOE_DATA_DIR")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap()
    }

    /// The unfinished files here.
    pub fn unfinished(&self) -> Vec<String> {
        let mut names = self.list(".");
        names.retain(|name| name.ends_with(".partial"));
        names
    }

    pub fn run(&self, args: &[&str]) -> Ran {
        Ran::of(&mut self.command(args))
    }

    /// [`SMOKE`] with more arguments, which must succeed.
    #[track_caller]
    pub fn smoke(&self, more: &[&str]) -> Ran {
        self.run(&[&SMOKE, more].concat()).succeeded()
    }

    /// The object that [`Place::smoke`] prints.
    #[track_caller]
    pub fn smoke_json(&self, more: &[&str]) -> Value {
        self.smoke(&[more, &["--format", "json"]].concat()).json()
    }
}

impl Ran {
    pub fn of(command: &mut assert_cmd::Command) -> Self {
        Ran::from(command.output().unwrap())
    }

    /// Waits for the end of a started program.
    pub fn end_of(child: Child) -> Self {
        Ran::from(child.wait_with_output().unwrap())
    }

    fn from(output: Output) -> Self {
        Ran {
            status: output.status.code(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }

    #[track_caller]
    pub fn succeeded(self) -> Self {
        assert_eq!(self.status, Some(0), "{self:#?}");
        self
    }

    /// Asserts that it failed with this status and an error with all of `says`, and printed no results.
    #[track_caller]
    pub fn failed(self, status: i32, says: &[&str]) -> Self {
        assert_eq!(self.status, Some(status), "{self:#?}");
        assert_eq!(self.stdout, "", "{self:#?}");
        assert!(self.stderr.lines().any(|line| line.starts_with("error: ")), "{self:#?}");
        assert!(!self.stderr.contains("panicked"), "{self:#?}");
        for text in says {
            assert!(self.stderr.contains(text), "{text:?} is not in {self:#?}");
        }
        self
    }

    /// Stdout as exactly one JSON value.
    #[track_caller]
    pub fn json(&self) -> Value {
        let parsed = serde_json::from_str(&self.stdout);
        parsed.unwrap_or_else(|error| panic!("{error} in {self:#?}"))
    }
}

/// How often to repeat a trial: `short`, or what the environment variable `MOE_TRIALS` says.
pub fn trials(short: usize) -> usize {
    std::env::var("MOE_TRIALS").map_or(short, |text| text.parse().expect("a number"))
}

/// A call with its arguments in one text, the status, and parts of the sentence.
pub type Case<'a> = (&'a str, i32, &'a [&'a str]);

/// Runs each case in `place` as `base` with more arguments.
#[track_caller]
pub fn check_refused(place: &Place, base: &[&str], cases: &[Case<'_>]) {
    for (more, status, says) in cases {
        let args: Vec<&str> = base.iter().copied().chain(more.split_whitespace()).collect();
        let ran = place.run(&args).failed(*status, says);
        assert!(ran.stderr.len() < 1000, "a sentence, not a page: {}", ran.stderr);
        if *status == 2 {
            assert!(place.list("runs").is_empty(), "{more}: a mistake leaves no directory");
        }
    }
}

/// Without what depends on the machine: times, memory, the number of threads and the facts about the host.
pub fn timeless(mut value: Value) -> Value {
    match &mut value {
        Value::Object(fields) => {
            for key in ["seconds", "steps_per_second", "cost", "host"] {
                fields.remove(key);
            }
            fields.values_mut().for_each(|field| *field = timeless(field.take()));
        }
        Value::Array(items) => items.iter_mut().for_each(|item| *item = timeless(item.take())),
        _ => {}
    }
    value
}

/// Lines `user,movie,watch,rating`: four of seven rows watched, by a pattern.
pub fn movielens(rows: usize) -> String {
    let line = |i: usize| {
        let watch = usize::from(i % 7 < 4);
        format!("{},{},{watch},{}\n", i % 31, i * 7 % 53, watch * (1 + i % 4))
    };
    (0..rows).map(line).collect()
}

pub fn gzip(text: &str) -> Vec<u8> {
    let mut packer = GzEncoder::new(Vec::new(), Compression::fast());
    packer.write_all(text.as_bytes()).unwrap();
    packer.finish().unwrap()
}
