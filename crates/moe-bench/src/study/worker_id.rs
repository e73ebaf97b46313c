//! Which process works on a trial, and whether it still lives.

use std::fs;
use std::process;

use serde::{Deserialize, Serialize};

/// A trial whose worker has not been heard of for this long is taken for dead, if the worker is of another machine.
pub(crate) const SILENCE: u64 = 300;

/// User attributes of a study whose names begin so have the programs and machines that have worked on it.
pub(crate) const HOST: &str = "moe.host.";

/// A process, as the user attribute `moe.worker` of its trials names it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct WorkerId {
    /// Name of its machine.
    pub(crate) host: String,
    /// Its number on the machine.
    pub(crate) pid: u32,
    /// What its number is one of: this start of the machine, and the namespace of process numbers. Empty if not known.
    machine: String,
    /// When it started, in the clock ticks of its machine; process numbers are used again.
    started: u64,
}

impl WorkerId {
    /// This process.
    pub(crate) fn own() -> Self {
        let line = |path: &str| fs::read_to_string(path).map(|text| text.trim().to_owned()).ok();
        let boot = line("/proc/sys/kernel/random/boot_id");
        let namespace = fs::read_link("/proc/self/ns/pid").ok();
        let machine = boot.zip(namespace).map(|(boot, namespace)| {
            let namespace = namespace.display();
            format!("{boot} {namespace}")
        });
        let pid = process::id();
        WorkerId {
            host: line("/proc/sys/kernel/hostname").unwrap_or_default(),
            pid,
            machine: machine.unwrap_or_default(),
            started: start_of(pid).unwrap_or(0),
        }
    }

    /// The user attribute of the study that has the program and the machine of this process.
    pub(crate) fn key(&self) -> String {
        format!("{HOST}{}-{}-{}", self.host, self.pid, self.started)
    }

    /// Whether it lives, if this process can tell: it is of the same machine.
    fn lives(&self, own: &WorkerId) -> Option<bool> {
        if self.machine.is_empty() || self.machine != own.machine {
            return None;
        }
        Some(start_of(self.pid) == Some(self.started))
    }

    /// Whether it has died, as far as `own`, this process, can tell: by the numbers of processes on the same machine, else by
    /// the seconds since it was last heard of.
    pub(crate) fn is_dead(&self, own: &WorkerId, silent_seconds: u64) -> bool {
        self.lives(own).map_or(silent_seconds > SILENCE, |lives| !lives)
    }
}

/// When a process started, as Linux tells.
fn start_of(pid: u32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name of the program, in parentheses, may hold anything.
    let mut fields = stat.rsplit(')').next()?.split_whitespace();
    // A process that has ended but was not waited for is not alive.
    let state = fields.next()?;
    (state != "Z" && state != "X").then(|| fields.nth(18)?.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_lives() {
        let own = WorkerId::own();
        assert!(!own.is_dead(&own, 0));
        if own.machine.is_empty() {
            return;
        }
        assert!(!own.is_dead(&own, u64::MAX), "it is seen, so that its silence does not count");
        let earlier = WorkerId { started: own.started + 1, ..own.clone() };
        assert!(earlier.is_dead(&own, 0), "another process of the same number");
        let mut child = process::Command::new("true").spawn().unwrap();
        let dead = WorkerId { pid: child.id(), ..own.clone() };
        child.wait().unwrap();
        assert!(dead.is_dead(&own, 0));
    }

    #[test]
    fn of_another_machine_it_is_dead_after_a_silence() {
        let own = WorkerId::own();
        let other = WorkerId { machine: "another".into(), ..own.clone() };
        assert!(!other.is_dead(&own, SILENCE));
        assert!(other.is_dead(&own, SILENCE + 1));
    }

    #[test]
    fn it_is_read_as_it_is_written() {
        let own = WorkerId::own();
        let text = serde_json::to_string(&own).unwrap();
        assert_eq!(serde_json::from_str::<WorkerId>(&text).unwrap(), own);
    }
}
