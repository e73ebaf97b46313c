//! Fetching from a site on loopback that does what sites do.
#![cfg(feature = "download")]

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::thread;

use flate2::Crc;
use moe_data::{Download, FetchError, FetchOptions, find};
use tempfile::TempDir;

/// What the site does with a request.
#[derive(Clone, Copy)]
enum Manner {
    /// Gives what is asked for.
    Good,
    /// Gives the whole file, whatever range is asked for.
    WithoutRanges,
    /// Breaks off after this number of bytes.
    Breaking(usize),
    /// Does not say how long the file is.
    WithoutLength,
    /// Answers with this status.
    Status(u16),
}

/// A site with one file; it notes the `Range` of each request.
struct Site {
    url: String,
    ranges: Arc<Mutex<Vec<String>>>,
}

impl Site {
    /// Serves as many requests as there are manners.
    fn new(content: Vec<u8>, manners: Vec<Manner>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/u.data", listener.local_addr().unwrap());
        let ranges = Arc::new(Mutex::new(Vec::new()));
        let noted = Arc::clone(&ranges);
        thread::spawn(move || {
            for manner in manners {
                let (stream, _) = listener.accept().unwrap();
                noted.lock().unwrap().push(serve(stream, &content, manner));
            }
        });
        Site { url, ranges }
    }

    fn download<'a>(&'a self, sha256: Option<&'a str>) -> Download<'a> {
        Download { url: &self.url, sha256, file: "u.data", member: None }
    }

    fn ranges(&self) -> Vec<String> {
        self.ranges.lock().unwrap().clone()
    }
}

fn serve(mut stream: TcpStream, content: &[u8], manner: Manner) -> String {
    let mut range = String::new();
    for line in BufReader::new(stream.try_clone().unwrap()).lines() {
        match line.unwrap().to_lowercase() {
            line if line.is_empty() => break,
            line => {
                if let Some(value) = line.strip_prefix("range: ") {
                    range = value.to_owned();
                }
            }
        }
    }
    let asked = range.strip_prefix("bytes=").and_then(|text| text.strip_suffix('-'));
    let start = match manner {
        Manner::WithoutRanges => 0,
        _ => asked.map_or(0, |start| start.parse().unwrap()),
    };
    let body = &content[start.min(content.len())..];
    let status = match manner {
        Manner::Status(status) => format!("{status} As Asked"),
        _ if start > 0 => "206 Partial Content".into(),
        _ => "200 OK".into(),
    };
    let mut head = format!("HTTP/1.1 {status}\r\nConnection: close\r\n");
    if start > 0 {
        let (last, all) = (content.len() - 1, content.len());
        head += &format!("Content-Range: bytes {start}-{last}/{all}\r\n");
    }
    if !matches!(manner, Manner::WithoutLength) {
        head += &format!("Content-Length: {}\r\n", body.len());
    }
    let sent = match manner {
        Manner::Breaking(after) => &body[..after],
        Manner::Status(_) => &[],
        _ => body,
    };
    // A client that has enough hangs up.
    let _ = stream.write_all((head + "\r\n").as_bytes());
    let _ = stream.write_all(sent);
    let _ = stream.flush();
    range
}

fn content() -> Vec<u8> {
    (0..300_000u32).map(|i| (i % 1000 * (i % 97) % 251) as u8).collect()
}

fn sum(bytes: &[u8]) -> String {
    use sha2::{Digest, Sha256};
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

const MOST: u64 = 1 << 20;

fn fetch(download: &Download<'_>, place: &TempDir, most: u64) -> Result<PathBuf, FetchError> {
    download.fetch(&place.path().join("set"), most, &mut |_| {})
}

fn names(place: &TempDir) -> Vec<String> {
    let entries = fs::read_dir(place.path().join("set")).unwrap();
    let mut names: Vec<String> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn a_file_comes_whole_with_progress_and_only_once() {
    let (site, place) = (Site::new(content(), vec![Manner::Good]), TempDir::new().unwrap());
    let sum = sum(&content());
    let mut steps = Vec::new();
    let path = site
        .download(Some(&sum))
        .fetch(&place.path().join("set"), MOST, &mut |p| steps.push((p.bytes, p.total)))
        .unwrap();
    assert_eq!(fs::read(&path).unwrap(), content());
    assert_eq!(names(&place), ["u.data"]);
    assert_eq!(steps.first(), Some(&(0, Some(300_000))));
    assert_eq!(steps.last(), Some(&(300_000, Some(300_000))));
    assert!(steps.is_sorted());
    // It is there: nobody is asked.
    assert_eq!(fetch(&site.download(Some(&sum)), &place, MOST).unwrap(), path);
    assert_eq!(site.ranges(), [""]);
}

#[test]
fn a_broken_download_is_continued_also_by_a_site_without_ranges() {
    for second in [Manner::Good, Manner::WithoutRanges] {
        let site = Site::new(content(), vec![Manner::Breaking(100_000), second]);
        let place = TempDir::new().unwrap();
        let sum = sum(&content());
        let error = fetch(&site.download(Some(&sum)), &place, MOST).unwrap_err().to_string();
        assert!(error.contains("after 100000 bytes; they are kept"), "{error}");
        assert_eq!(names(&place), ["u.data.partial"]);
        let path = fetch(&site.download(Some(&sum)), &place, MOST).unwrap();
        assert_eq!(fs::read(path).unwrap(), content());
        assert_eq!(site.ranges(), ["", "bytes=100000-"]);
        assert_eq!(names(&place), ["u.data"]);
    }
}

#[test]
fn what_is_begun_and_changed_is_begun_anew() {
    let site = Site::new(content(), vec![Manner::Status(416), Manner::WithoutLength]);
    let place = TempDir::new().unwrap();
    fs::create_dir(place.path().join("set")).unwrap();
    fs::write(place.path().join("set/u.data.partial"), [1; 400_000]).unwrap();
    let error = fetch(&site.download(None), &place, MOST).unwrap_err().to_string();
    assert!(error.contains("has changed since it was begun"), "{error}");
    let path = fetch(&site.download(None), &place, MOST).unwrap();
    assert_eq!(fs::read(path).unwrap(), content());
}

#[test]
fn what_is_wrong_or_too_large_does_not_stay() {
    let place = TempDir::new().unwrap();
    let wrong = "0".repeat(64);
    let site = Site::new(content(), vec![Manner::Good]);
    let error = fetch(&site.download(Some(&wrong)), &place, MOST).unwrap_err();
    assert!(matches!(error, FetchError::WrongSum { .. }), "{error}");
    assert!(error.to_string().contains(&sum(&content())));
    for manner in [Manner::Good, Manner::WithoutLength] {
        let site = Site::new(content(), vec![manner]);
        let error = fetch(&site.download(None), &place, 299_999).unwrap_err();
        assert!(matches!(error, FetchError::TooLarge { .. }), "{error}");
    }
    let site = Site::new(content(), vec![Manner::Status(404)]);
    let error = fetch(&site.download(None), &place, MOST).unwrap_err().to_string();
    assert!(error.contains("answers with status 404"), "{error}");
    assert!(names(&place).is_empty(), "{:?}", names(&place));
}

/// A zip archive with one stored file.
fn zip(name: &str, content: &[u8]) -> Vec<u8> {
    let mut crc = Crc::new();
    crc.update(content);
    let [length, crc] = [content.len() as u32, crc.sum()].map(u32::to_le_bytes);
    let name_length = (name.len() as u16).to_le_bytes();
    let head = [&[20, 0, 0, 0, 0, 0, 0, 0, 33, 0][..], &crc, &length, &length, &name_length];
    let local = [b"PK\x03\x04", &head.concat()[..], &[0; 2], name.as_bytes(), content].concat();
    let rest = [&[0; 2][..], &[0; 2], &[0; 2], &[0; 2], &[0; 4], &[0; 4], name.as_bytes()].concat();
    let central = [b"PK\x01\x02", &[20, 0][..], &head.concat(), &rest].concat();
    let sizes = [central.len() as u32, local.len() as u32].map(u32::to_le_bytes).concat();
    let end = [b"PK\x05\x06", &[0, 0, 0, 0, 1, 0, 1, 0][..], &sizes, &[0, 0]].concat();
    [local, central, end].concat()
}

#[test]
fn the_file_is_taken_out_of_an_archive() {
    let archive = zip("ml/u.data", &content());
    let damaged = [&archive[..200], &[0; 5], &archive[205..]].concat();
    let place = TempDir::new().unwrap();
    for (archive, member, says) in [
        (damaged, "ml/u.data", "the archive is damaged: ml/u.data"),
        (archive.clone(), "ml/other", "is damaged: ml/other"),
        (content(), "ml/u.data", "the archive is damaged"),
    ] {
        let place = TempDir::new().unwrap();
        let site = Site::new(archive, vec![Manner::Good]);
        let download = Download { member: Some(member), ..site.download(None) };
        let error = fetch(&download, &place, MOST).unwrap_err().to_string();
        assert!(error.contains(says), "{error}");
        assert!(!names(&place).contains(&"u.data".to_owned()));
    }
    let site = Site::new(archive.clone(), vec![Manner::Good]);
    let download = Download { member: Some("ml/u.data"), ..site.download(None) };
    let path = fetch(&download, &place, MOST).unwrap();
    assert_eq!(fs::read(path).unwrap(), content());
    assert_eq!(names(&place), ["u.data"]);
}

#[test]
fn a_set_is_fetched_from_a_mirror_once_its_terms_are_accepted() {
    let place = TempDir::new().unwrap();
    let fetch = |id: &str, options: &FetchOptions<'_>| {
        find(id).unwrap().fetch(place.path(), options, &mut |_| {})
    };
    let none = FetchOptions::default();
    let error = fetch("movielens-100k", &none).unwrap_err().to_string();
    assert!(error.contains("no commercial use") && error.contains("--accept-licence"), "{error}");
    let error = fetch("jester", &none).unwrap_err().to_string();
    assert!(error.contains("jester cannot be fetched: get it from https://"), "{error}");
    let error = fetch("synthetic", &none).unwrap_err().to_string();
    assert!(error.contains("it needs no files"), "{error}");

    let site = Site::new(b"1::0000002::7::1\n".repeat(3), vec![Manner::Good]);
    let mirror = site.url.strip_suffix("u.data").unwrap();
    let options = FetchOptions { mirror: Some(mirror), ..none };
    let paths = fetch("movietweetings", &options).unwrap();
    assert_eq!(paths, [place.path().join("movietweetings/ratings.dat")]);

    // The archive is not the original one.
    let site = Site::new(zip("ml-100k/u.data", b"x"), vec![Manner::Good]);
    let mirror = site.url.strip_suffix("/u.data").unwrap();
    let options = FetchOptions { accept_licence: true, mirror: Some(mirror), ..none };
    let error = fetch("movielens-100k", &options).unwrap_err();
    assert!(matches!(error, FetchError::WrongSum { .. }), "{error}");
    assert!(!place.path().join("ml-100k/u.data").exists());
}
