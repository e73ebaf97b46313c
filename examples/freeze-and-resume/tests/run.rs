//! The program resumes to the same weights and freezes all parameters but the heads.

use std::process::Command;

#[test]
fn the_interrupted_run_ends_as_the_other() {
    let output = Command::new(env!("CARGO_BIN_EXE_freeze-and-resume")).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{text}");
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines[0], "interrupted: after epoch 3: crash");
    assert_eq!(lines[1], "resumed:     the same weights: true");
    assert!(lines[3].ends_with(" 4 parameters frozen"), "{text}");
    let accuracy = |line: &str| -> f64 {
        let (_, rest) = line.split_once("accuracy ").unwrap();
        rest.split([' ', '}', ',']).next().unwrap().parse().unwrap()
    };
    assert!(accuracy(lines[2]) > 0.8 && accuracy(lines[3]) > 0.8, "{text}");
    assert_ne!(accuracy(lines[2]), accuracy(lines[3]), "{text}");
}
