//! A finished run in a place where nothing can be written.
#![cfg(unix)]

mod common;

use std::fs::{self, Permissions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use common::Place;
use common::training::{args, place};

/// A user without rights, whom a program of the administrator can become.
const NOBODY: u32 = 65534;

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

/// Makes the run readable for everybody and writable for nobody. Returns the user to run commands as, if it is another one.
fn close(place: &Place) -> Option<u32> {
    set_mode(&place.path(""), 0o755);
    for name in place.list("run") {
        set_mode(&place.path("run").join(name), 0o444);
    }
    set_mode(&place.path("run"), 0o555);
    let probe = place.path("run/probe");
    let may_write = fs::write(&probe, "").and_then(|()| fs::remove_file(&probe)).is_ok();
    may_write.then_some(NOBODY)
}

#[test]
fn a_finished_run_needs_no_right_to_write() {
    let place = place();
    place.run(&args("run", &["--epochs", "1"])).succeeded();
    let contents = || place.list("run").into_iter().map(|name| place.read(&format!("run/{name}")));
    let before: Vec<Vec<u8>> = contents().collect();
    let user = close(&place);
    let call = |args: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_moe"));
        command.args(args).current_dir(place.path(""));
        if let Some(user) = user {
            command.uid(user);
        }
        command.output()
    };
    let resume = args("run", &["--epochs", "1", "--resume"]);
    for args in [&resume[..], &["eval", "run"], &["inspect", "run"]] {
        match call(args) {
            // The program itself lies where that user may not go.
            Err(error) if error.kind() == ErrorKind::PermissionDenied => {
                let text = format!("skipped: {error}\n");
                std::io::stderr().write_all(text.as_bytes()).unwrap();
            }
            output => {
                let output = output.unwrap();
                assert!(output.status.success(), "{args:?}: {output:?}");
            }
        }
    }
    assert!(contents().eq(before));
    // What has to be written is named.
    if let Ok(output) = call(&args("run/inner", &["--epochs", "1"])) {
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.code() == Some(1) && error.contains("run/inner"), "{output:?}");
    }
    set_mode(&place.path("run"), 0o755);
}
