//! Run directories that somebody else has made, with right checksums: no panic, no abort, no file outside of the directory
//! opened for reading or changed, and no memory above that of the files and [`LIMIT`].
#![cfg(unix)]

mod common;

use std::fs::{self, FileTimes};
use std::io::Write;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant, SystemTime};

use common::running::Running;
use common::{Place, copy, people, trials};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

/// Address space of a command in kilobytes. The program alone, with the stacks and pools of its threads, takes a part of it.
const LIMIT: &str = "300000";

/// A generator of numbers; the cases of a seed are the same everywhere.
struct Draws(u64);

impl Draws {
    fn below(&mut self, n: usize) -> usize {
        // SplitMix64.
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) % n as u64) as usize
    }

    fn of<T: Clone>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len())].clone()
    }

    /// A value that is out of place almost everywhere.
    fn value(&mut self) -> Value {
        let large = [7, 40, 1 << 31, 1 << 33, 1 << 40, 1 << 60, 1 << 63, u64::MAX];
        match self.below(10) {
            0 => json!(null),
            1 => json!([]),
            2 => json!({}),
            3 => self.of(&[json!(-1), json!(1e30), json!(-1e30), json!(0.5), json!(2.0)]),
            4 => {
                self.of(&[json!(""), json!("x"), json!("top-k+"), json!("mixture"), json!("bias")])
            }
            5 => json!([1u64 << self.below(64)]),
            6 => json!([1u64 << self.below(20), 1u64 << self.below(40)]),
            7 => json!(self.below(3)),
            8 => json!(1u64 << self.below(64)),
            _ => json!(self.of(&large)),
        }
    }
}

/// Every place in a value, by its pointer.
fn places(value: &Value, at: &str, found: &mut Vec<String>) {
    found.push(at.into());
    let mut more = |key: &str, value: &Value| places(value, &format!("{at}/{key}"), found);
    match value {
        Value::Object(fields) => fields.iter().for_each(|(key, value)| more(key, value)),
        Value::Array(items) => {
            items.iter().enumerate().for_each(|(i, value)| more(&i.to_string(), value));
        }
        _ => {}
    }
}

/// Puts a value that is out of place somewhere below `at`.
fn change(value: &mut Value, at: &str, draws: &mut Draws) {
    let Some(part) = value.pointer_mut(at) else { return };
    let mut all = Vec::new();
    places(part, "", &mut all);
    let place = draws.of(&all);
    *part.pointer_mut(&place).expect("one of its places") = draws.value();
}

fn hex(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A run directory that is being changed.
struct Forged {
    dir: PathBuf,
    manifest: Value,
}

impl Forged {
    fn of(dir: &Path) -> Self {
        let manifest = fs::read(dir.join("manifest.json")).unwrap();
        Forged { dir: dir.into(), manifest: serde_json::from_slice(&manifest).unwrap() }
    }

    /// The pointer in the manifest to a file by its role.
    fn entry(role: &str) -> String {
        let is_list = ["last", "best", "learning", "moments"].contains(&role);
        format!("/files/{role}{}", if is_list { "/0" } else { "" })
    }

    fn file(&self, role: &str) -> PathBuf {
        let entry = self.manifest.pointer(&Self::entry(role)).expect("a file of the run");
        self.dir.join(entry["name"].as_str().expect("a name"))
    }

    /// Replaces a file; the manifest has its right length and checksum.
    fn set(&mut self, role: &str, content: &[u8]) {
        fs::write(self.file(role), content).unwrap();
        let entry = self.manifest.pointer_mut(&Self::entry(role)).unwrap();
        entry["bytes"] = content.len().into();
        entry["sha256"] = hex(content).into();
    }

    /// Changes one of the files by its bytes.
    fn change_bytes(&mut self, role: &str, change: impl FnOnce(&mut Vec<u8>)) {
        let mut content = fs::read(self.file(role)).unwrap();
        change(&mut content);
        self.set(role, &content);
    }

    /// Writes the manifest, with its own checksum or without one.
    fn write_manifest(&mut self, draws: &mut Draws) {
        let text = |manifest: &Value| serde_json::to_string_pretty(manifest).unwrap() + "\n";
        self.manifest["sha256"] = "".into();
        if draws.below(2) == 0 && self.manifest.is_object() {
            self.manifest["sha256"] = "0".repeat(64).into();
            self.manifest["sha256"] = hex(text(&self.manifest).as_bytes()).into();
        }
        fs::write(self.dir.join("manifest.json"), text(&self.manifest)).unwrap();
    }
}

/// The envelope of `state` with a right length and checksum.
fn sealed(mut file: Vec<u8>) -> Vec<u8> {
    let length = file.len() as u64 - 64;
    file[24..32].copy_from_slice(&length.to_le_bytes());
    let sum = Sha256::new().chain_update(&file[..32]).chain_update(&file[64..]).finalize();
    file[32..64].copy_from_slice(&sum);
    file
}

const TENSORS: [&str; 4] = ["last", "best", "learning", "moments"];
const TEXTS: [&str; 3] = ["config", "features", "metrics"];
const KINDS: usize = 9;

/// Makes the run in `dir` malicious in the way of `kind`.
fn forge(dir: &Path, foreign: &Path, kind: usize, draws: &mut Draws) {
    let mut run = Forged::of(dir);
    let all = [&TENSORS[..], &TEXTS, &["state"]].concat();
    match kind {
        // Descriptions of models.
        0 => {
            for _ in 0..=draws.below(3) {
                change(&mut run.manifest, draws.of(&["/models/best", "/models/last"]), draws);
            }
        }
        // Names of files.
        1 => {
            let outside = foreign.join("secret").display().to_string();
            let names =
                [&outside, "../foreign/secret", "/dev/zero", "/dev/stdin", "..", "", "state"];
            let entry = Forged::entry(draws.of(&all));
            run.manifest.pointer_mut(&entry).unwrap()["name"] = draws.of(&names).into();
        }
        // Counts, lengths, formats and lists of files.
        2 => {
            let keys = ["format", "generation", "epochs", "best_epoch", "seed", "instruction_set"];
            if draws.below(2) == 0 {
                run.manifest[draws.of(&keys)] = draws.value();
            } else {
                change(&mut run.manifest, "/files", draws);
            }
        }
        // Lengths and other bytes inside of the state.
        3 | 4 => run.change_bytes("state", |state| {
            for _ in 0..=draws.below(3) {
                let at = 64 + draws.below(state.len() - 64);
                if kind == 3 {
                    // A marker of bincode, and the number after it.
                    let length = 1u64 << (8 + draws.below(56));
                    let number = [&[0xfd][..], &length.to_le_bytes()].concat();
                    state.splice(at..(at + draws.below(9)).min(state.len()), number);
                } else {
                    state[at] = draws.of(&[0, 1, 0x7f, 0xfa, 0xfb, 0xfc, 0xfd, 0xff]);
                }
            }
            *state = sealed(std::mem::take(state));
        }),
        // Headers of tensors.
        5 => run.change_bytes(draws.of(&TENSORS), |file| {
            let length = u64::from_le_bytes(file[..8].try_into().unwrap()) as usize;
            let mut header: Value = serde_json::from_slice(&file[8..8 + length]).unwrap();
            change(&mut header, "", draws);
            let header = serde_json::to_vec(&header).unwrap();
            let stated =
                if draws.below(4) == 0 { 1 << draws.below(64) } else { header.len() as u64 };
            let start = [&stated.to_le_bytes()[..], &header].concat();
            file.splice(..8 + length, start);
        }),
        // Values of tensors.
        6 => run.change_bytes(draws.of(&TENSORS), |file| {
            let value = draws.of(&[f32::NAN, f32::INFINITY, f32::MAX, -1e30, 1e-40]);
            let at = file.len().saturating_sub(4 * (1 + draws.below(40)));
            file[at..at + 4].copy_from_slice(&value.to_le_bytes());
        }),
        // Texts.
        7 => run.change_bytes(draws.of(&TEXTS), |text| match draws.below(4) {
            0 => *text = vec![b'['; 1 << 18],
            1 => *text = vec![0xff; 100],
            2 if !text.is_empty() => {
                let at = draws.below(text.len());
                text[at] = draws.of(b"0{}[]\"x\n=.");
            }
            _ => {
                if let Ok(mut json) = serde_json::from_slice(text) {
                    change(&mut json, "", draws);
                    *text = serde_json::to_vec(&json).unwrap();
                }
            }
        }),
        // What is not a file.
        _ => {
            let file = run.file(draws.of(&all));
            fs::remove_file(&file).unwrap();
            match draws.below(3) {
                0 => symlink(foreign.join("secret"), &file).unwrap(),
                1 => fs::create_dir(&file).unwrap(),
                _ => {
                    let made = Command::new("mkfifo").arg(&file).status();
                    assert!(made.is_ok_and(|status| status.success()));
                }
            }
        }
    }
    run.write_manifest(draws);
}

/// Runs the command with little memory; returns its exit status, or `None` if it was killed or does not end.
fn status(place: &Place, args: &[&str]) -> (Option<i32>, String) {
    let script = format!("ulimit -v {LIMIT}; exec \"$0\" \"$@\"");
    let mut command = Command::new("sh");
    command.args(["-c", &script, env!("CARGO_BIN_EXE_moe")]).args(args);
    command.current_dir(place.path("")).env("RUST_BACKTRACE", "0").env("RAYON_NUM_THREADS", "1");
    let errors = place.path("errors.txt");
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(fs::File::create(&errors).unwrap());
    let mut child = command.spawn().unwrap();
    let start = Instant::now();
    let status = loop {
        match child.try_wait().unwrap() {
            Some(status) => break status.code(),
            None if start.elapsed() > Duration::from_secs(60) => {
                child.kill().unwrap();
                child.wait().unwrap();
                break None;
            }
            None => std::thread::sleep(Duration::from_millis(2)),
        }
    };
    (status, fs::read_to_string(errors).unwrap())
}

/// Sets the times of a file to long ago, so that the next reading shows.
fn set_times(file: &Path) -> SystemTime {
    let long_ago = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
    let times = FileTimes::new().set_accessed(long_ago).set_modified(long_ago);
    fs::File::options().write(true).open(file).unwrap().set_times(times).unwrap();
    long_ago
}

#[test]
fn runs_of_somebody_else_do_no_harm() {
    let place = people::untrained();
    let train = ["train", "--config", "table.toml", "--router", "comet+", "--progress", "none"];
    let train = [&train[..], &["--set", "train.batch_rows=4", "--out"]].concat();
    place.run(&[&train[..], &["run", "--epochs", "2"]].concat()).succeeded();
    // As a run of more epochs, so that it is trained further when it is resumed.
    let mut longer = Forged::of(&place.path("run"));
    let config = place.text("run/config.resolved.toml").replace("epochs = 2", "epochs = 3");
    longer.set("config", config.as_bytes());
    longer.write_manifest(&mut Draws(0));
    let secret = place.write("foreign/secret", "years of work");
    let long_ago = set_times(&secret);
    fs::read(&secret).unwrap();
    let shows_reading = fs::metadata(&secret).unwrap().accessed().unwrap() != long_ago;
    if !shows_reading {
        let text = b"skipped: whether other files are read, since this file system keeps no access times\n";
        std::io::stderr().write_all(text).unwrap();
    }
    set_times(&secret);

    // A run that was killed inside an epoch.
    let often = ["inside", "--epochs", "3", "--checkpoint-minutes=0.00001"];
    let mut running = Running::start(&place, "inside", &[&train[..], &often].concat());
    running.wait_until_inside_an_epoch();
    drop(running);
    fs::remove_file(place.path("inside/manifest.previous.json")).ok();

    let commands: [&[&str]; 4] = [
        &["predict", "forged", "--input", "people.csv", "--output", "-", "--progress", "none"],
        &["eval", "forged"],
        &["inspect", "forged"],
        &[&train[..], &["forged", "--resume", "--epochs", "3"]].concat(),
    ];
    let begin = |base: &str| {
        fs::remove_dir_all(place.path("forged")).ok();
        copy(&place.path(base), &place.path("forged"));
    };
    for (base, args) in
        ["run", "inside"].into_iter().flat_map(|base| commands.map(|args| (base, args)))
    {
        begin(base);
        assert_eq!(status(&place, args).0, Some(0), "{base} itself: {args:?}");
    }
    let mut outcomes = [0; 3];
    for case in 0..trials(200) as u64 {
        let mut draws = Draws(case);
        begin(draws.of(&["run", "inside"]));
        let kind = case as usize % KINDS;
        forge(&place.path("forged"), &place.path("foreign"), kind, &mut draws);
        // All of them in turns; each kind meets each command.
        let args = commands[case as usize / KINDS % commands.len()];
        let (status, errors) = status(&place, args);
        let is_good = status.is_some_and(|status| (0..3).contains(&status));
        assert!(
            is_good && !errors.contains("panicked"),
            "case {case} ({kind}): {args:?}\n{errors}"
        );
        outcomes[status.unwrap() as usize] += 1;
        assert_eq!(place.list("foreign"), ["secret"], "case {case}");
        let found = fs::metadata(&secret).unwrap();
        assert_eq!(found.modified().unwrap(), long_ago, "case {case} changed another file");
        if shows_reading {
            assert_eq!(found.accessed().unwrap(), long_ago, "case {case} read another file");
        }
    }
    // Most are refused; some differ in what the command does not read.
    assert!(outcomes[1] > outcomes[0] && outcomes[0] > 0, "{outcomes:?}");
}
