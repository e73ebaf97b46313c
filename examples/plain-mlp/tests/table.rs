//! The program prints its table, and a hidden layer improves the accuracy.

use std::process::Command;

#[test]
fn hidden_layers_help() {
    let output = Command::new(env!("CARGO_BIN_EXE_plain-mlp")).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    let rows: Vec<Vec<f64>> = (text.lines().skip(1))
        .map(|line| line.rsplit("  ").filter_map(|cell| cell.trim().parse().ok()).collect())
        .collect();
    let [linear, one, two] = &rows[..] else { panic!("three rows:\n{text}") };
    // From the right: accuracy, loss, parameters.
    assert_eq!([linear[2], one[2], two[2]], [650.0, 4810.0, 6570.0]);
    assert!(linear[0] > 0.9 && one[0] > 0.93 && two[0] > 0.93, "{text}");
    assert!(one[0] > linear[0], "{text}");
}
