//! Checks the gradient against finite differences, and the output of the program.

use std::process::Command;

use custom_operator::huber;
use moe_core::tape::Tape;
use moe_core::{Real, Tensor, testing};

const TARGETS: [Real; 4] = [0.0, 0.1, -1.0, 0.9];

#[test]
fn small_errors_count_squared_and_large_ones_by_their_size() {
    let tape = Tape::inference();
    let predictions = tape.constant(Tensor::new([4], vec![0.5, 0.1, 2.0, -0.1]));
    let expected = (0.125 + 0.0 + 2.5 + 0.5) / 4.0;
    assert!((huber(predictions, &TARGETS).value().item() - expected).abs() < 1e-6);
}

#[test]
fn the_gradient_is_the_slope_of_the_loss() {
    let at = [Tensor::new([4], vec![0.3, -2.0, 5.0, 1.2])];
    testing::gradcheck(|_, x| huber(x[0], &TARGETS), &at).unwrap();
}

#[test]
fn far_points_do_not_move_the_line() {
    let output = Command::new(env!("CARGO_BIN_EXE_custom-operator")).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("Huber loss:    y = 1.98 x + 1.11"), "{text}");
}
