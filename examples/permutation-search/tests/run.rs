//! The program prints a row for each variant.

use std::process::Command;

#[test]
fn every_variant_learns() {
    let run = Command::new(env!("CARGO_BIN_EXE_permutation-search")).arg("2").output().unwrap();
    let text = String::from_utf8(run.stdout).unwrap();
    assert!(run.status.success(), "{text}");
    let rows: Vec<&str> = text.lines().skip(1).collect();
    assert_eq!(rows.len(), 4, "{text}");
    for (row, name) in rows.iter().zip(["comet", "comet+", "comet+ stochastic", "comet swaps"]) {
        let rest = row.strip_prefix(name).unwrap_or_else(|| panic!("{text}"));
        let loss: f64 = rest.split_whitespace().next().unwrap().parse().unwrap();
        // The targets have a mean square of about 4.
        assert!(loss < 1.5, "{text}");
    }
    assert!(rows[0].ends_with("0 of 2"), "{text}");
}
