//! Where text goes: results to stdout, everything else to stderr.

use std::fmt::Display;
use std::io::{self, Write};
use std::sync::{Mutex, PoisonError};

use indicatif::ProgressBar;

/// The bar on the terminal, which lines must not overwrite.
static BAR: Mutex<Option<ProgressBar>> = Mutex::new(None);

/// Keeps the lines on stderr above this bar from now on.
pub(crate) fn set_bar(bar: ProgressBar) {
    *BAR.lock().unwrap_or_else(PoisonError::into_inner) = Some(bar);
}

/// Prints a line on stderr. Errors are ignored: a closed stderr does not stop the work.
pub(crate) fn note(line: impl Display) {
    write_to_stderr(format!("{line}\n").as_bytes());
}

/// Prints whole lines on stderr, above the bar if there is one.
pub(crate) fn write_to_stderr(lines: &[u8]) {
    let bar = BAR.lock().unwrap_or_else(PoisonError::into_inner);
    let write = || {
        let _ = io::stderr().lock().write_all(lines);
    };
    match &*bar {
        Some(bar) => bar.suspend(write),
        None => write(),
    }
}

/// Prints results on stdout. A reader that has gone (`moe routers | head -1`) is not an error.
pub(crate) fn print(results: &str) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(results.as_bytes()).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error),
        _ => Ok(()),
    }
}
