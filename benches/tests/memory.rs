//! Memory of training against the size of the model's state.

use std::process::Command;

use serde_json::Value;

/// Resident memory of training the MovieLens model, above that of the empty process: at most three times its values,
/// gradients and moments. Activations and data count as resident, but not as state.
#[test]
#[cfg(target_os = "linux")]
fn training_takes_at_most_three_times_its_state() {
    let peers = Command::new(env!("CARGO_BIN_EXE_peers"))
        .args(["--bench", "memory", "--threads", "2"])
        .output()
        .expect("peers starts");
    let errors = String::from_utf8_lossy(&peers.stderr);
    assert!(peers.status.success(), "peers failed: {errors}");
    let line: Value = serde_json::from_slice(&peers.stdout).expect("one line of JSON");
    let number = |key: &str| line[key].as_f64().unwrap_or_else(|| panic!("no {key} in {line}"));
    let (resident, state) = (number("resident_mb"), number("state_mb"));
    assert!(state > 30.0, "not the model that the limit is about: {line}");
    assert!(resident > state, "less than the state itself: {line}");
    assert!(resident <= 3.0 * state, "{resident} MB resident for {state} MB of state: {line}");
}
