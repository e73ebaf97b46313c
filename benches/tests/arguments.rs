//! What `peers` says to what it cannot measure.

use std::process::Command;

#[test]
fn an_unknown_variant_is_refused_with_those_that_there_are() {
    let peers = Command::new(env!("CARGO_BIN_EXE_peers"))
        .args(["--bench", "steps", "--variants", "top-n"])
        .output()
        .expect("peers starts");
    let errors = String::from_utf8_lossy(&peers.stderr);
    assert_eq!((peers.status.code(), peers.stdout.len()), (Some(2), 0), "{errors}");
    for part in ["'top-n'", "--variants", "top-k", "comet-saturated"] {
        assert!(errors.contains(part), "no {part} in: {errors}");
    }
}
