use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use zip::ZipArchive;

use crate::catalog::catalog::{Entry, Origin};
use crate::catalog::provenance::Download;
use crate::formats::binary::sha256;

/// How long a site may take to answer.
const PATIENCE: Duration = Duration::from_secs(60);

/// How files are fetched.
#[derive(Clone, Copy, Debug)]
pub struct FetchOptions<'a> {
    /// Whether the user has accepted the terms of the set.
    pub accept_licence: bool,
    /// The most bytes of a file, packed and unpacked.
    pub most_bytes: u64,
    /// A site that has the files under their last names, in place of the original ones.
    pub mirror: Option<&'a str>,
}

impl Default for FetchOptions<'_> {
    fn default() -> Self {
        FetchOptions { accept_licence: false, most_bytes: 4 << 30, mirror: None }
    }
}

/// Why a file was not fetched.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FetchError {
    /// Nothing to fetch, or not from where.
    #[error("{id} cannot be fetched: {reason}")]
    NotFetchable {
        /// Id of the data set.
        id: &'static str,
        /// Why, and what to do instead.
        reason: String,
    },
    /// The terms have to be accepted first.
    #[error(
        "{id} has terms to be accepted: {terms}. If you accept them, say so with --accept-licence"
    )]
    NotAccepted {
        /// Id of the data set.
        id: &'static str,
        /// The terms.
        terms: &'static str,
    },
    /// The site did not give the file, or not all of it.
    #[error("{url}: {problem}")]
    Site {
        /// The file's address.
        url: String,
        /// What happened, and whether it can be continued.
        problem: String,
    },
    /// What came is larger than allowed.
    #[error("{url}: larger than {most} bytes; a larger limit can be given")]
    TooLarge {
        /// The file's address.
        url: String,
        /// The limit.
        most: u64,
    },
    /// What came is not what should have come. It has been removed.
    #[error("{url}: the SHA-256 is {found}, and should be {wanted}")]
    WrongSum {
        /// The file's address.
        url: String,
        /// The sum that it should have.
        wanted: String,
        /// The sum that it has.
        found: String,
    },
    /// A file could not be written or read.
    #[error("{}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// How far a download is.
#[derive(Clone, Copy, Debug)]
pub struct FetchProgress<'a> {
    /// Name of the file.
    pub file: &'a str,
    /// Bytes that are there.
    pub bytes: u64,
    /// Bytes of the whole file, if the site says.
    pub total: Option<u64>,
}

impl Entry {
    /// Fetches the set's files into its folder in `data_dir`; those that are there stay. Returns them.
    ///
    /// # Errors
    /// If the set has nothing to fetch, its terms are not accepted, or a file does not come whole and right. What came
    /// of it is kept and continued the next time, unless it was wrong.
    pub fn fetch(
        &self,
        data_dir: &Path,
        options: &FetchOptions<'_>,
        progress: &mut dyn FnMut(FetchProgress<'_>),
    ) -> Result<Vec<PathBuf>, FetchError> {
        let id = self.id;
        let known = self.provenance();
        let folder = match self.origin {
            _ if known.downloads.is_empty() => {
                let reason = match self.origin {
                    Origin::Files { get, files, folder } => {
                        format!("get it from {get} and put into the folder {folder}: {files}")
                    }
                    _ => "it needs no files".into(),
                };
                return Err(FetchError::NotFetchable { id, reason });
            }
            Origin::Files { folder, .. } => folder,
            _ => id,
        };
        if known.must_accept && !options.accept_licence {
            return Err(FetchError::NotAccepted { id, terms: self.terms });
        }
        let folder = data_dir.join(folder);
        let fetch = |download: &Download<'static>| match options.mirror {
            Some(site) => {
                let name = download.url.rsplit('/').next().unwrap_or_default();
                let url = format!("{}/{name}", site.trim_end_matches('/'));
                Download { url: &url, ..*download }.fetch(&folder, options.most_bytes, progress)
            }
            None => download.fetch(&folder, options.most_bytes, progress),
        };
        known.downloads.iter().map(fetch).collect()
    }
}

impl Download<'_> {
    /// Fetches the file into a folder, unless it is there. What an interrupted download left is continued.
    ///
    /// # Errors
    /// If it does not come whole and right within `most` bytes; then there is no file of this name.
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
        let part = folder.join(format!("{}.part", self.url.rsplit('/').next().unwrap_or("file")));
        self.receive(&part, most, progress)?;
        let found = sum(&part)?;
        if let Some(wanted) = self.sha256.filter(|&wanted| wanted != found) {
            fs::remove_file(&part).map_err(io_at(&part))?;
            let (url, wanted) = (self.url.to_owned(), wanted.to_owned());
            return Err(FetchError::WrongSum { url, wanted, found });
        }
        match self.member {
            Some(member) => {
                self.unpack(&part, member, &path, most)?;
                fs::remove_file(&part).map_err(io_at(&part))?;
            }
            None => fs::rename(&part, &path).map_err(io_at(&path))?,
        }
        Ok(path)
    }

    /// Brings the whole file to `part`, from where that ends.
    fn receive(
        &self,
        part: &Path,
        most: u64,
        progress: &mut dyn FnMut(FetchProgress<'_>),
    ) -> Result<(), FetchError> {
        let site = |problem: String| FetchError::Site { url: self.url.to_owned(), problem };
        let too_large = || FetchError::TooLarge { url: self.url.to_owned(), most };
        let there = fs::metadata(part).map_or(0, |metadata| metadata.len());
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
            // What is there is not a beginning of what the site has: the next time starts anew.
            206 | 416 => {
                fs::remove_file(part).map_err(io_at(part))?;
                return Err(site("the file has changed since it was begun; try again".into()));
            }
            status => return Err(site(format!("the site answers with status {status}"))),
        };
        let length: Option<u64> = header("content-length").and_then(|text| text.parse().ok());
        let total = length.map(|length| start.saturating_add(length));
        if total.is_some_and(|total| total > most) {
            return Err(too_large());
        }
        let open = OpenOptions::new().create(true).write(true).truncate(false).open(part);
        let mut file = open.map_err(io_at(part))?;
        file.set_len(start).map_err(io_at(part))?;
        io::Seek::seek(&mut file, io::SeekFrom::Start(start)).map_err(io_at(part))?;
        let mut body = response.into_body().into_reader();
        let (mut bytes, mut piece) = (start, vec![0; 1 << 16]);
        let broken = |bytes: u64, problem: &str| {
            site(format!("{problem} after {bytes} bytes; what came is kept, try again to continue"))
        };
        loop {
            progress(FetchProgress { file: self.file, bytes, total });
            let count = match body.read(&mut piece) {
                Ok(0) => break,
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(broken(bytes, &error.to_string())),
            };
            bytes += count as u64;
            if bytes > most {
                drop(file);
                fs::remove_file(part).map_err(io_at(part))?;
                return Err(too_large());
            }
            file.write_all(&piece[..count]).map_err(io_at(part))?;
        }
        if total.is_some_and(|total| total != bytes) {
            return Err(broken(bytes, "the connection ended"));
        }
        file.sync_all().map_err(io_at(part))
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
            problem: format!("the archive is not as it should be: {problem}"),
        };
        let file = File::open(archive).map_err(io_at(archive))?;
        let mut zip = ZipArchive::new(file).map_err(|error| wrong(error.to_string()))?;
        let found = zip.by_name(member).map_err(|error| wrong(format!("{member}: {error}")))?;
        let partial = path.with_file_name(format!("{}.partial", self.file));
        let mut out = File::create(&partial).map_err(io_at(&partial))?;
        let copied = io::copy(&mut found.take(most.saturating_add(1)), &mut out);
        let written = match copied {
            Ok(bytes) if bytes > most => {
                Err(FetchError::TooLarge { url: self.url.to_owned(), most })
            }
            Ok(_) => out.sync_all().map_err(io_at(&partial)),
            Err(error) => Err(wrong(format!("{member}: {error}"))),
        };
        match written {
            Ok(()) => fs::rename(&partial, path).map_err(io_at(path)),
            Err(error) => {
                let _ = fs::remove_file(&partial);
                Err(error)
            }
        }
    }
}

fn io_at(path: &Path) -> impl FnOnce(io::Error) -> FetchError + use<> {
    let path = path.to_path_buf();
    |source| FetchError::File { path, source }
}

fn sum(path: &Path) -> Result<String, FetchError> {
    let sum = File::open(path).and_then(sha256).map_err(io_at(path))?;
    Ok(sum.iter().map(|byte| format!("{byte:02x}")).collect())
}
