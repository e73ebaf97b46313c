//! What a result says of the machine and the program, and what a run cost. These facts differ from run to run.

use std::fs;
use std::time::{Duration, Instant};

use moe_core::batch::BatchSource;
use moe_core::tape::Tape;
use moe_core::{Pass, Real, kernel};
use moe_data::Split;
use moe_nn::{History, Model};
use serde::{Deserialize, Serialize};

/// The machine and the program.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Host {
    /// Number of threads; the results do not depend on it.
    pub threads: usize,
    /// Number of runs that share them at a time; the results do not depend on it.
    pub jobs: usize,
    /// Name of the machine, where it is known.
    pub name: Option<String>,
    /// Operating system and kind of processor, such as `linux x86_64`.
    pub system: String,
    /// Instruction set of the kernels, such as `avx2`; another one may change the last bits.
    pub instruction_set: String,
    /// `single` or `double`.
    pub precision: String,
    /// Version of the program.
    pub version: String,
    /// Commit of the program: the environment variable `MOE_COMMIT` when it was compiled.
    pub commit: Option<String>,
}

impl Host {
    /// This machine and this program.
    pub(crate) fn here(threads: usize, jobs: usize) -> Self {
        let name = fs::read_to_string("/proc/sys/kernel/hostname").ok();
        let name = name.or_else(|| std::env::var("COMPUTERNAME").ok());
        let precision = if size_of::<Real>() == 8 { "double" } else { "single" };
        Host {
            threads,
            jobs,
            name: name.map(|name| name.trim().to_owned()).filter(|name| !name.is_empty()),
            system: format!("{} {}", std::env::consts::OS, std::env::consts::ARCH),
            instruction_set: kernel::instruction_set().to_string(),
            precision: precision.to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            commit: option_env!("MOE_COMMIT").map(str::to_owned),
        }
    }
}

/// Time and memory of a run, in the process that finished it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct RunCost {
    /// Seconds of training, evaluation and test, without those before an interruption.
    pub wall_seconds: f64,
    /// Seconds of all processors in that time, in hundredths; `None` where the system does not say, and where other runs
    /// share the process.
    pub cpu_seconds: Option<f64>,
    /// Largest memory of the process so far, with its data and earlier runs; `None` where the system does not say.
    pub peak_memory_bytes: Option<u64>,
    /// Rows per second in training steps.
    pub train_rows_per_second: f64,
    /// Microseconds that the model takes for a row of the test split, in batches of the size of training.
    pub test_microseconds_per_row: f64,
}

/// Measures the cost of a run from its beginning.
pub(crate) struct CostMeter {
    start: Instant,
    cpu_seconds: Option<f64>,
}

impl CostMeter {
    pub(crate) fn start() -> Self {
        CostMeter { start: Instant::now(), cpu_seconds: cpu_seconds() }
    }

    /// The cost of the run with this history, whose model has been tested on `test`.
    pub(crate) fn end(
        self,
        history: &History,
        train_rows: usize,
        model: &dyn Model,
        test: &Split,
        batch_rows: usize,
    ) -> RunCost {
        let wall_seconds = self.start.elapsed().as_secs_f64();
        let used = self.cpu_seconds.zip(cpu_seconds()).map(|(before, now)| now - before);
        let rows = (history.epochs.len() * train_rows) as f64;
        RunCost {
            wall_seconds,
            cpu_seconds: used,
            peak_memory_bytes: peak_memory_bytes(),
            train_rows_per_second: rows / history.train_seconds.max(1e-9),
            test_microseconds_per_row: microseconds_per_row(model, test, batch_rows),
        }
    }
}

/// Time of the model alone, without making batches and computing metrics, on some thousand rows.
fn microseconds_per_row(model: &dyn Model, test: &Split, batch_rows: usize) -> f64 {
    const MOST_ROWS: u32 = 8192;
    let rows: Vec<u32> = (0..MOST_ROWS.min(test.rows() as u32)).collect();
    let mut time = Duration::ZERO;
    for rows in rows.chunks(batch_rows.max(1)) {
        let batch = test.batch(rows);
        let start = Instant::now();
        let tape = Tape::inference();
        drop(model.run(&tape, &Pass::inference(&batch), &batch.inputs));
        time += start.elapsed();
    }
    1e6 * time.as_secs_f64() / rows.len().max(1) as f64
}

/// Seconds that processors have spent on this process.
fn cpu_seconds() -> Option<f64> {
    /// Linux reports times in hundredths of a second on all machines that this program runs on (`USER_HZ`).
    const TICKS_PER_SECOND: f64 = 100.0;
    let text = fs::read_to_string("/proc/self/stat").ok()?;
    // The name of the program, in parentheses, may contain anything. The 14th and 15th field are user and system time.
    let fields: Vec<&str> = text.rsplit_once(')')?.1.split_whitespace().collect();
    let ticks = |field: usize| fields.get(field)?.parse::<f64>().ok();
    Some((ticks(11)? + ticks(12)?) / TICKS_PER_SECOND)
}

/// The largest memory that this process has had (`VmHWM` of Linux).
fn peak_memory_bytes() -> Option<u64> {
    let text = fs::read_to_string("/proc/self/status").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kilobytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(1024 * kilobytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(target_os = "linux")]
    #[test]
    fn linux_says_what_a_process_used() {
        let before = cpu_seconds().unwrap();
        let start = Instant::now();
        let mut work = 0u64;
        while start.elapsed() < Duration::from_millis(300) {
            work = work.wrapping_mul(3).wrapping_add(1);
        }
        // Other tests run in this process too, and other processes on this machine.
        let used = cpu_seconds().unwrap() - before;
        assert!(work != 0 && used > 0.0, "{used} s");
        let ballast = vec![1u8; 1 << 26];
        assert!(peak_memory_bytes().unwrap() > ballast.len() as u64);
    }
}
