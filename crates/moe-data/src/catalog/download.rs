/// A file that can be fetched.
#[derive(Clone, Copy, Debug)]
pub struct Download<'a> {
    /// Its address.
    pub url: &'a str,
    /// Its SHA-256; `None` if it changes from time to time.
    pub sha256: Option<&'a str>,
    /// Name of the file that it becomes in the folder of the set.
    pub file: &'a str,
    /// For a zip archive: the file to take out of it.
    pub member: Option<&'a str>,
}

impl<'a> Download<'a> {
    /// A file that keeps its name.
    pub(crate) const fn file(url: &'a str, sha256: Option<&'a str>) -> Self {
        Download { url, sha256, file: last_name(url), member: None }
    }

    /// A file of a zip archive, which keeps its name.
    pub(crate) const fn member(url: &'a str, sha256: Option<&'a str>, member: &'a str) -> Self {
        Download { url, sha256, file: last_name(member), member: Some(member) }
    }
}

/// The part of a path after its last slash.
pub(crate) const fn last_name(path: &str) -> &str {
    let mut start = path.len();
    while start > 0 && path.as_bytes()[start - 1] != b'/' {
        start -= 1;
    }
    path.split_at(start).1
}
