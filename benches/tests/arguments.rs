//! Errors of `peers` for arguments that it does not accept.

use std::process::Command;

#[test]
fn an_unknown_variant_is_refused_with_the_known_ones() {
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
