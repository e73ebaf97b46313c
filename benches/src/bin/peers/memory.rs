//! Memory of training: what the system counts as resident, against the size of the model's state.

use benches::movielens;
use moe_core::batch::Batch;
use moe_nn::Module;
use serde_json::json;

use crate::movielens::Training;
use crate::report::{Report, rounded};

/// Number of steps after which every buffer has been allocated.
const STEPS: usize = 30;

/// Resident bytes of this process; `None` where the system does not report them.
fn resident() -> Option<f64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kilobytes: f64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(1024.0 * kilobytes)
}

/// Measures the memory of training the MovieLens model with top-k. Call it before anything else allocates memory.
pub(crate) fn training(report: &Report) {
    let Some(before) = resident() else { return };
    let batches: Vec<Batch> = (0..4).map(movielens::batch).collect();
    let mut training = Training::new(&("top-k", "top-k", vec![]));
    for _ in 0..STEPS {
        training.step(&batches);
    }
    let after = resident().expect("the system has reported them before");
    let parameters = (training.model.parameter_count() * size_of::<moe_core::Real>()) as f64;
    let megabytes = |bytes: f64| rounded(bytes / 1e6);
    // Values, gradients and two moments.
    let state = 4.0 * parameters;
    let fields = json!({
        "resident_mb": megabytes(after - before), "state_mb": megabytes(state),
        "resident_of_state": rounded((after - before) / state),
    });
    report.line("movielens_memory", fields);
}
