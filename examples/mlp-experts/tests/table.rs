//! The program prints its table, and both mixtures have learnt.

use std::process::Command;

#[test]
fn both_mixtures_learn_and_compute_two_experts() {
    let output = Command::new(env!("CARGO_BIN_EXE_mlp-experts")).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    let rows: Vec<Vec<&str>> =
        text.lines().skip(1).map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(rows.len(), 2, "{text}");
    for row in rows {
        let [_, _, experts_per_row, _, left, right] = row[..] else { panic!("{text}") };
        assert_eq!(experts_per_row, "2.00");
        for accuracy in [left, right] {
            let accuracy: f64 = accuracy.parse().unwrap();
            assert!(accuracy > 0.5, "{text}");
        }
    }
}
