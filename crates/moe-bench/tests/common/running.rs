//! A process of the command that the tests end from outside.
#![cfg_attr(not(unix), allow(unused))]

use std::io::Read;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread::sleep;
use std::time::Duration;

use super::Place;

/// A process that is killed when it goes out of scope.
pub struct Running {
    child: Child,
    out: PathBuf,
}

impl Running {
    /// Starts the command in `place`; `out` is its run directory.
    pub fn start(place: &Place, out: &str, args: &[&str]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_moe"));
        command.args(args).current_dir(place.path("")).env("XDG_CACHE_HOME", place.path("cache"));
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        Running { child: command.spawn().unwrap(), out: place.path(out) }
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Returns whether it has ended, which must be with success.
    pub fn is_over(&mut self) -> bool {
        let ended = self.child.try_wait().unwrap();
        assert!(ended.is_none_or(|status| status.success()), "{ended:?}");
        ended.is_some()
    }

    /// Names of the files of checkpoints, which change with every checkpoint.
    pub fn checkpoint(&self) -> Vec<String> {
        let Ok(entries) = std::fs::read_dir(&self.out) else { return Vec::new() };
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<String> = names.filter(|name| name.contains('-')).collect();
        names.sort();
        names
    }

    /// Waits until the run has a checkpoint inside an epoch, which must come before its end.
    pub fn wait_until_inside_an_epoch(&mut self) {
        while !is_inside_an_epoch(&self.out) {
            assert!(!self.is_over(), "there was no checkpoint inside an epoch");
            sleep(Duration::from_millis(1));
        }
    }

    /// Sends a signal, such as `TERM`.
    #[cfg(unix)]
    pub fn send(&self, signal: &str) {
        // The shell has it built in; the command is not everywhere.
        let kill = format!("kill -{signal} {}", self.id());
        assert!(Command::new("sh").args(["-c", &kill]).status().unwrap().success());
    }

    /// Waits for the end; returns the status and what it wrote to stderr.
    pub fn wait(mut self) -> (ExitStatus, String) {
        let status = self.child.wait().unwrap();
        let mut stderr = String::new();
        let pipe = self.child.stderr.as_mut().unwrap();
        pipe.read_to_string(&mut stderr).unwrap();
        (status, stderr)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // SIGKILL, if it has not ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Whether the last checkpoint in this directory is inside an epoch; false if there is none.
pub fn is_inside_an_epoch(out: &std::path::Path) -> bool {
    moe_nn::SavedModel::open_with_history(out).is_ok_and(|(_, history)| {
        history.steps > history.epochs.last().map_or(0, |record| record.steps)
    })
}
