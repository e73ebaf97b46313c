//! Journals as wholes: `common.rs` has what the tests share, `optuna.rs` compares with Optuna, `replay.rs` has the effects of
//! operations, `reading.rs` what is appended or wrong, `damage.rs` unfinished lines and their repair, `writers.rs` several
//! writers and the lock, `speed.rs` the time that a large study takes.

mod common;
mod damage;
mod optuna;
mod reading;
mod replay;
mod speed;
mod writers;
