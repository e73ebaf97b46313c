use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use moe_core::checksum::{hex, sha256_of};
use moe_core::files::{PartialFile, partial_path};
use zip::ZipArchive;

use crate::catalog::download::{Download, last_name};
use crate::catalog::entry::{Entry, Origin};

/// Time that a site has to answer.
const PATIENCE: Duration = Duration::from_secs(60);

/// Options for fetching files.
#[derive(Clone, Copy, Debug)]
pub struct FetchOptions<'a> {
    /// Whether the user has accepted the terms of the set.
    pub accept_licence: bool,
    /// Maximum size of a file in bytes, both packed and unpacked.
    pub most_bytes: u64,
    /// A site that serves the files under their last names, to be used instead of the original sites.
    pub mirror: Option<&'a str>,
}

impl Default for FetchOptions<'_> {
    fn default() -> Self {
        FetchOptions { accept_licence: false, most_bytes: 4 << 30, mirror: None }
    }
}

/// The reason why a file was not fetched.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FetchError {
    /// The set has no files, or their address is not known.
    #[error("{id} cannot be fetched: {reason}")]
    NotFetchable {
        /// Id of the data set.
        id: &'static str,
        /// The reason, and what to do instead.
        reason: String,
    },
    /// The terms have not been accepted.
    #[error("{id} has terms that must be accepted: {terms}. To accept them, pass --accept-licence")]
    NotAccepted {
        /// Id of the data set.
        id: &'static str,
        /// The terms.
        terms: &'static str,
    },
    /// The site did not send the file, or only a part of it.
    #[error("{url}: {problem}")]
    Site {
        /// The file's address.
        url: String,
        /// What went wrong, and whether the download can be continued.
        problem: String,
    },
    /// The file is larger than allowed.
    #[error("{url}: larger than {most} bytes; raise the limit to fetch it")]
    TooLarge {
        /// The file's address.
        url: String,
        /// The limit.
        most: u64,
    },
    /// The content of the file is not the original one. The file has been removed.
    #[error("{url}: the SHA-256 is {found}, but should be {wanted}")]
    WrongSum {
        /// The file's address.
        url: String,
        /// The sum of the original.
        wanted: String,
        /// The sum of the file.
        found: String,
    },
    /// A file could not be written or read.
    #[error("{}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// The error of the system.
        source: io::Error,
    },
}

/// Progress of a download.
#[derive(Clone, Copy, Debug)]
pub struct FetchProgress<'a> {
    /// Name of the file.
    pub file: &'a str,
    /// Number of bytes received.
    pub bytes: u64,
    /// Number of bytes of the whole file, if the site states it.
    pub total: Option<u64>,
}

impl Entry {
    /// Fetches the set's files into its folder in `data_dir`, except those that are there already. Returns their paths.
    ///
    /// # Errors
    /// If the set has nothing to fetch, its terms are not accepted, or a file does not arrive complete and correct. An
    /// incomplete file is kept and continued next time; a wrong one is removed.
    pub fn fetch(
        &self,
        data_dir: &Path,
        options: &FetchOptions<'_>,
        progress: &mut dyn FnMut(FetchProgress<'_>),
    ) -> Result<Vec<PathBuf>, FetchError> {
        let id = self.id;
        if self.downloads.is_empty() {
            let reason = match self.origin {
                Origin::Files { get, files, folder } => {
                    format!("get it from {get} and put into the folder {folder}: {files}")
                }
                _ => "it needs no files".into(),
            };
            return Err(FetchError::NotFetchable { id, reason });
        }
        if self.must_accept && !options.accept_licence {
            return Err(FetchError::NotAccepted { id, terms: self.terms });
        }
        let folder = data_dir.join(match self.origin {
            Origin::Files { folder, .. } => folder,
            _ => id,
        });
        let fetch = |download: &Download<'_>| {
            let site = options.mirror.map(|site| site.trim_end_matches('/'));
            let mirrored = site.map(|site| format!("{site}/{}", last_name(download.url)));
            let url = mirrored.as_deref().unwrap_or(download.url);
            Download { url, ..*download }.fetch(&folder, options.most_bytes, progress)
        };
        self.downloads.iter().map(fetch).collect()
    }
}

impl Download<'_> {
    /// Fetches the file into a folder, unless it is there already. An interrupted download is continued.
    ///
    /// # Errors
    /// If the file does not arrive complete and correct within `most` bytes. The folder then has no file with its name.
    pub fn fetch(
        &self,
        folder: &Path,
        most: u64,
        progress: &mut dyn FnMut(FetchProgress<'_>),
    ) -> Result<PathBuf, FetchError> {
        let path = folder.join(self.file);
        if path.exists() {
            return Ok(path);
        }
        fs::create_dir_all(folder).map_err(io_at(folder))?;
        // An archive never gets its name: it is done with once the member is out.
        let received_path = match self.member {
            Some(_) => folder.join(format!("{}.zip", self.file)),
            None => path.clone(),
        };
        let received = self.receive(&received_path, most, progress)?;
        let unfinished = received.partial().to_owned();
        let sum = File::open(&unfinished).and_then(sha256_of).map_err(io_at(&unfinished))?;
        let found = hex(&sum);
        if let Some(wanted) = self.sha256.filter(|&wanted| wanted != found) {
            received.discard().map_err(io_at(&unfinished))?;
            let (url, wanted) = (self.url.to_owned(), wanted.to_owned());
            return Err(FetchError::WrongSum { url, wanted, found });
        }
        if let Some(member) = self.member {
            self.unpack(&unfinished, member, &path, most)?;
            received.discard().map_err(io_at(&unfinished))?;
        } else {
            received.commit().map_err(io_at(&path))?;
        }
        Ok(path)
    }

    /// Brings the whole content of what will be the file `path`, continuing what an earlier attempt has left.
    fn receive(
        &self,
        path: &Path,
        most: u64,
        progress: &mut dyn FnMut(FetchProgress<'_>),
    ) -> Result<PartialFile, FetchError> {
        let site = |problem: String| FetchError::Site { url: self.url.to_owned(), problem };
        let too_large = || FetchError::TooLarge { url: self.url.to_owned(), most };
        let unfinished = partial_path(path);
        let there = fs::metadata(&unfinished).map_or(0, |metadata| metadata.len());
        let agent = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .timeout_connect(Some(PATIENCE))
            .timeout_recv_response(Some(PATIENCE))
            .build();
        let mut request = ureq::Agent::new_with_config(agent).get(self.url);
        if there > 0 {
            request = request.header("Range", format!("bytes={there}-"));
        }
        let response = request.call().map_err(|error| site(error.to_string()))?;
        let header = |name: &str| {
            let value = response.headers().get(name)?;
            value.to_str().ok().map(str::to_owned)
        };
        // "bytes FIRST-LAST/TOTAL"
        let goes_on = |range: String| range.starts_with(&format!("bytes {there}-"));
        let start = match response.status().as_u16() {
            200 => 0,
            206 if header("content-range").is_some_and(goes_on) => there,
            // The site has another file now: the next attempt starts anew.
            206 | 416 => {
                fs::remove_file(&unfinished).map_err(io_at(&unfinished))?;
                return Err(site("the file has changed since it was begun; try again".into()));
            }
            status => return Err(site(format!("the site answers with status {status}"))),
        };
        let length: Option<u64> = header("content-length").and_then(|text| text.parse().ok());
        let total = length.map(|length| start.saturating_add(length));
        if total.is_some_and(|total| total > most) {
            return Err(too_large());
        }
        let mut file = PartialFile::resume(path, start).map_err(io_at(&unfinished))?;
        let mut body = response.into_body().into_reader();
        let (mut bytes, mut block) = (start, vec![0; 1 << 16]);
        let broken = |bytes: u64, problem: &str| {
            site(format!("{problem} after {bytes} bytes; they are kept, try again to continue"))
        };
        loop {
            progress(FetchProgress { file: self.file, bytes, total });
            let count = match body.read(&mut block) {
                Ok(0) => break,
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(broken(bytes, &error.to_string())),
            };
            bytes += count as u64;
            if bytes > most {
                file.discard().map_err(io_at(&unfinished))?;
                return Err(too_large());
            }
            file.write_all(&block[..count]).map_err(io_at(&unfinished))?;
        }
        if total.is_some_and(|total| total != bytes) {
            return Err(broken(bytes, "the connection ended"));
        }
        Ok(file)
    }

    /// Takes a file out of an archive, as a whole or not at all.
    fn unpack(
        &self,
        archive: &Path,
        member: &str,
        path: &Path,
        most: u64,
    ) -> Result<(), FetchError> {
        let wrong = |problem: String| FetchError::Site {
            url: self.url.to_owned(),
            problem: format!("the archive is damaged: {problem}"),
        };
        let file = File::open(archive).map_err(io_at(archive))?;
        let mut zip = ZipArchive::new(file).map_err(|error| wrong(error.to_string()))?;
        let found = zip.by_name(member).map_err(|error| wrong(format!("{member}: {error}")))?;
        let mut out = PartialFile::create(path).map_err(io_at(path))?;
        let problem = match io::copy(&mut found.take(most.saturating_add(1)), &mut out) {
            Ok(bytes) if bytes <= most => return out.commit().map_err(io_at(path)),
            Ok(_) => FetchError::TooLarge { url: self.url.to_owned(), most },
            Err(error) => wrong(format!("{member}: {error}")),
        };
        // The error that matters is the one before.
        let _ = out.discard();
        Err(problem)
    }
}

fn io_at(path: &Path) -> impl FnOnce(io::Error) -> FetchError + use<> {
    let path = path.to_path_buf();
    |source| FetchError::File { path, source }
}
