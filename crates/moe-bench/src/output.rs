//! Where text goes: results to stdout, everything else to stderr.

use std::fmt::Display;
use std::io::{self, Write};

/// Prints a line on stderr. Errors are ignored: a closed stderr does not stop the work.
pub(crate) fn note(line: impl Display) {
    let _ = writeln!(io::stderr().lock(), "{line}");
}

/// Prints results on stdout. A reader that has gone (`moe routers | head -1`) is not an error.
pub(crate) fn print(results: &str) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(results.as_bytes()).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error),
        _ => Ok(()),
    }
}
