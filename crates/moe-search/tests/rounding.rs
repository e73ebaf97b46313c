//! Rounding is optimal: against all permutations of up to eight columns, and a second solver above.

use moe_core::Real;
use moe_core::random::{chacha, permutation, uniform};
use moe_search::round_permutation;
use proptest::prelude::*;

/// Weights from U(-1, 1); with `levels`, that many distinct ones, so that several permutations are optimal.
fn weights(n: usize, seed: u64, levels: Option<u32>) -> Vec<Real> {
    let weights = uniform([n, n], 1.0, &mut chacha(seed, "tests", 0));
    let coarse = |w: Real| levels.map_or(w, |levels| (w * levels as Real).round());
    weights.as_slice().iter().map(|&w| coarse(w)).collect()
}

fn objective(weights: &[Real], n: usize, columns: &[u32]) -> f64 {
    columns.iter().enumerate().map(|(i, &j)| f64::from(weights[i * n + j as usize])).sum()
}

/// The best of all permutations, by trying them.
fn brute_force(weights: &[Real], n: usize) -> f64 {
    fn best(weights: &[Real], n: usize, row: usize, taken: u32) -> f64 {
        if row == n {
            return 0.0;
        }
        let free = (0..n).filter(|column| taken & (1 << column) == 0);
        let value = |column: usize| {
            f64::from(weights[row * n + column]) + best(weights, n, row + 1, taken | 1 << column)
        };
        free.map(value).fold(f64::NEG_INFINITY, f64::max)
    }
    best(weights, n, 0, 0)
}

/// The best objective by shortest augmenting paths over reduced costs, in double precision (the O(N³) form of the
/// Hungarian method with one row added at a time).
fn second_solver(weights: &[Real], n: usize) -> f64 {
    let cost = |row: usize, column: usize| -f64::from(weights[(row - 1) * n + column - 1]);
    // Rows and columns from 1; column 0 is where a new row starts.
    let (mut of_row, mut of_column) = (vec![0.0; n + 1], vec![0.0; n + 1]);
    let mut row_of = vec![0; n + 1];
    for row in 1..=n {
        row_of[0] = row;
        let (mut least, mut from) = (vec![f64::INFINITY; n + 1], vec![0; n + 1]);
        let mut done = vec![false; n + 1];
        let mut column = 0;
        while row_of[column] != 0 {
            done[column] = true;
            let (here, mut delta, mut next) = (row_of[column], f64::INFINITY, 0);
            for j in (1..=n).filter(|&j| !done[j]) {
                let reduced = cost(here, j) - of_row[here] - of_column[j];
                if reduced < least[j] {
                    (least[j], from[j]) = (reduced, column);
                }
                if least[j] < delta {
                    (delta, next) = (least[j], j);
                }
            }
            for j in 0..=n {
                if done[j] {
                    of_row[row_of[j]] += delta;
                    of_column[j] -= delta;
                } else {
                    least[j] -= delta;
                }
            }
            column = next;
        }
        while column != 0 {
            row_of[column] = row_of[from[column]];
            column = from[column];
        }
    }
    (1..=n).map(|column| -cost(row_of[column], column)).sum()
}

fn assert_best(weights: &[Real], n: usize, best: f64) -> Result<(), TestCaseError> {
    let columns = round_permutation(weights, n).unwrap();
    let mut sorted = columns.clone();
    sorted.sort_unstable();
    prop_assert_eq!(sorted, (0..n as u32).collect::<Vec<_>>());
    let found = objective(weights, n, &columns);
    let size: f64 = weights.iter().map(|&w| f64::from(w).abs()).fold(0.0, f64::max);
    prop_assert!(found >= best - 1e-12 * (1.0 + size) * n as f64, "{} below {}", found, best);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn up_to_eight_the_best_of_all(n in 1usize..8, seed: u64, levels in prop::option::of(1u32..4)) {
        let weights = weights(n, seed, levels);
        assert_best(&weights, n, brute_force(&weights, n))?;
    }

    #[test]
    fn above_as_good_as_a_second_solver(n in 9usize..65, seed: u64, levels in prop::option::of(1u32..4)) {
        let weights = weights(n, seed, levels);
        assert_best(&weights, n, second_solver(&weights, n))?;
    }

    #[test]
    fn a_permutation_is_its_own_rounding(n in 1usize..40, seed: u64) {
        let columns = permutation(n, seed, "tests", 0);
        let mut matrix = vec![0.0; n * n];
        columns.iter().enumerate().for_each(|(i, &j)| matrix[i * n + j as usize] = 1.0);
        prop_assert_eq!(round_permutation(&matrix, n).unwrap(), columns);
    }
}

#[test]
fn eight_columns_and_both_solvers() {
    for seed in 0..5 {
        let weights = weights(8, seed, None);
        let best = brute_force(&weights, 8);
        assert_best(&weights, 8, best).unwrap();
        assert!((second_solver(&weights, 8) - best).abs() < 1e-12);
    }
}

#[test]
fn a_worse_permutation_is_noticed() {
    let n = 8;
    let weights = weights(n, 3, None);
    let mut columns = round_permutation(&weights, n).unwrap();
    columns.swap(0, 1);
    assert!(objective(&weights, n, &columns) < brute_force(&weights, n) - 1e-6);
}
