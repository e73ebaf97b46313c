//! Where predictions go: stdout, or a file that gets its name when it is complete.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::write::GzEncoder;
use moe_core::files::PartialFile;

/// An open stdout or file, which is compressed if its name ends in .gz.
pub(crate) enum Destination {
    Stdout(io::Stdout),
    File(PartialFile),
    Packed(GzEncoder<PartialFile>),
}

impl Destination {
    /// Opens `path`, or stdout without one.
    pub(crate) fn open(path: Option<&Path>) -> io::Result<Self> {
        let Some(path) = path else { return Ok(Destination::Stdout(io::stdout())) };
        if path.exists() && !path.is_file() {
            let problem = "is not a file; pass --output - for stdout";
            return Err(io::Error::new(io::ErrorKind::InvalidInput, problem));
        }
        let file = PartialFile::create(path)?;
        Ok(if path.extension().is_some_and(|ending| ending == "gz") {
            Destination::Packed(GzEncoder::new(file, Compression::default()))
        } else {
            Destination::File(file)
        })
    }

    /// Gives the file its name.
    pub(crate) fn finish(self) -> io::Result<()> {
        match self {
            Destination::Stdout(_) => Ok(()),
            Destination::File(file) => file.commit(),
            Destination::Packed(packer) => packer.finish()?.commit(),
        }
    }

    /// Ends an incomplete file and returns the name it has.
    pub(crate) fn leave(self) -> io::Result<Option<PathBuf>> {
        Ok(match self {
            Destination::Stdout(_) => None,
            Destination::File(file) => Some(file.partial().into()),
            Destination::Packed(packer) => Some(packer.finish()?.partial().into()),
        })
    }
}

impl Write for Destination {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Destination::Stdout(to) => to.write(bytes),
            Destination::File(to) => to.write(bytes),
            Destination::Packed(to) => to.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Destination::Stdout(to) => to.flush(),
            Destination::File(to) => to.flush(),
            // Flushing before the end would make it longer.
            Destination::Packed(_) => Ok(()),
        }
    }
}
