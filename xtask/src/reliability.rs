//! `cargo xtask reliability`: the long form of tests that repeat a trial many times, of which `cargo test` does a few.

use anyhow::Result;

use crate::ci::OK;
use crate::run;
use crate::steps::{Step, step};

/// The suites.
pub(crate) const STEPS: &[Step] = &[
    step(
        "kills",
        "200 runs that are killed, some by SIGTERM inside an epoch, and go on to the same bits",
        || suite("moe-bench", "interrupted", ("MOE_TRIALS", "200")),
    ),
    step("comparisons", "200 kills of comparisons that go on to the same results", || {
        suite("moe-bench", "resumed_comparisons", ("MOE_TRIALS", "200"))
    }),
    step("studies", "50 kills of a study that goes on to the same trials", || {
        suite("moe-bench", "tune_kills", ("MOE_TRIALS", "50"))
    }),
    step("writers", "200 trials of two commands that write to one place", || {
        suite("moe-bench", "two_writers", ("MOE_TRIALS", "200"))
    }),
    step("cache", "200 trials of processes that need one cache entry", || {
        suite("moe-data", "cache_writers", ("MOE_TRIALS", "200"))
    }),
    step("malicious", "2,000 run directories of somebody else, with right checksums", || {
        suite("moe-bench", "malicious_runs", ("MOE_TRIALS", "2000"))
    }),
    step("weights", "what `moe predict` reads of a run with weights of 400 MB", || {
        suite("moe-bench", "weights_are_read_once", ("MOE_WEIGHTS_MB", "400"))
    }),
];

fn suite(package: &str, test: &str, size: (&str, &str)) -> Result<&'static str> {
    run::cargo(&["test", "-p", package, "--test", test], &[size]).map(|()| OK)
}
