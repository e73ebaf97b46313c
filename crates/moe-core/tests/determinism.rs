//! Equal bits for any number of threads and any batch neighbours.

mod common;

use std::sync::Arc;

use common::{assert_same_bits, assignments, pick_rows, rng, row_ids, uniform};
use moe_core::dispatch::{Assignments, ExpertPlan};
use moe_core::kernel::{Around, Mat, gemm, gemm_groups};
use moe_core::random::{DrawRows, DropoutDraws, Philox};
use moe_core::tape::{Tape, Var};
use moe_core::{Real, Shape, Tensor};

/// A router, a layer with two gates, a hidden layer and a loss.
struct Model {
    embedding: Tensor,
    router: [Tensor; 2],
    weight: Tensor,
    bias: Tensor,
    head: Tensor,
    head_bias: Tensor,
}

/// Rows for a [`Model`].
struct Rows {
    ids: Vec<u64>,
    x: Tensor,
    gates: [Assignments; 2],
}

struct Outcome {
    /// One row per input row: predictions, and the gradients of x.
    by_row: [Tensor; 2],
    /// Gradients of what all rows share.
    shared: Vec<Tensor>,
}

impl Model {
    fn new(d: usize, n: usize, o: usize) -> Self {
        let mut rng = rng(1, 0);
        Model {
            embedding: uniform([50, d], &mut rng),
            router: [(); 2].map(|()| uniform([d, n], &mut rng)),
            weight: uniform([n, d, o], &mut rng),
            bias: uniform([n, o], &mut rng),
            head: uniform([2 * o, 3], &mut rng),
            head_bias: uniform([3], &mut rng),
        }
    }

    /// The cotangent of a row is a function of its prediction, so that it too is the row's own.
    fn run(&self, rows: &Rows) -> Outcome {
        let plan = Arc::new(ExpertPlan::new(&[&rows.gates[0], &rows.gates[1]]));
        let tape = Tape::new();
        let table = tape.variable(self.embedding.clone());
        let router = self.router.each_ref().map(|router| tape.variable(router.clone()));
        let [weight, bias, head, head_bias] =
            [&self.weight, &self.bias, &self.head, &self.head_bias]
                .map(|tensor| tape.variable(tensor.clone()));
        let philox = Philox::new(3, "dropout", 7);

        let x = tape.variable(rows.x.clone());
        let keys: Vec<u32> = rows.ids.iter().map(|id| (id % 50) as u32).collect();
        let drawn = DrawRows { row_ids: &rows.ids, experts: None };
        let input = (x + table.gather_rows(&keys)).dropout(0.1, philox, drawn);

        let slot_ids: Vec<u64> = plan.slot_rows().iter().map(|&r| rows.ids[r as usize]).collect();
        let drawn = DrawRows { row_ids: &slot_ids, experts: Some(plan.slot_experts()) };
        let slots = input.gather_slots(&plan).grouped_linear(weight, bias, &plan).relu();
        let slots = slots.dropout(0.2, philox, drawn);
        let parts = [0, 1].map(|g| {
            let gate = &rows.gates[g];
            let weights = input.matmul(router[g]).gather_assigned(gate).csr_softmax(gate);
            slots.combine(weights, gate, &plan, g)
        });
        let out = tape.concat(&parts).linear(head, head_bias).softmax().sigmoid();
        let gradients = tape.backward_from(out, out.value().map(|v| v * v - 0.3));
        let wrt = |var| gradients.wrt(var).expect("the output depends on it");
        Outcome {
            by_row: [out.value(), wrt(x)],
            shared: [table, router[0], router[1], weight, bias, head, head_bias].map(wrt).into(),
        }
    }
}

impl Rows {
    fn new(rows: usize, d: usize, n: usize) -> Self {
        let mut rng = rng(2, 0);
        Rows {
            ids: row_ids(rows),
            x: uniform([rows, d], &mut rng),
            gates: [(); 2].map(|()| assignments(rows, n, &mut rng)),
        }
    }

    /// The batch of the rows `picked`, in that order.
    fn pick(&self, picked: &[usize]) -> Self {
        let gates = self.gates.each_ref().map(|gate| {
            let experts = picked.iter().flat_map(|&row| gate.of_row(row)).copied().collect();
            let mut offsets = vec![0];
            offsets.extend(picked.iter().scan(0, |end, &row| {
                *end += gate.of_row(row).len() as u32;
                Some(*end)
            }));
            Assignments::new(gate.num_experts(), offsets, experts).expect("rows of assignments")
        });
        Rows {
            ids: picked.iter().map(|&row| self.ids[row]).collect(),
            x: pick_rows(&self.x, picked),
            gates,
        }
    }
}

fn in_pool<R: Send>(threads: usize, f: impl FnOnce() -> R + Send) -> R {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("a pool");
    pool.install(f)
}

/// Large enough that every kernel takes its parallel path.
#[test]
fn one_two_and_seven_threads_give_the_same_bits() {
    let (model, rows) = (Model::new(64, 8, 48), Rows::new(700, 64, 8));
    let one = in_pool(1, || model.run(&rows));
    for threads in [2, 7, 7] {
        let many = in_pool(threads, || model.run(&rows));
        for (a, b) in
            one.by_row.iter().chain(&one.shared).zip(many.by_row.iter().chain(&many.shared))
        {
            assert_same_bits(a.as_slice(), b.as_slice(), &format!("{threads} threads"));
        }
    }
}

/// Value and gradient of each operator along an axis or of whole rows, over sizes that are cut into many pieces.
#[test]
fn operators_along_an_axis_give_the_same_bits_on_any_number_of_threads() {
    const ROWS: usize = 701;
    const COLS: usize = 130;
    type F = fn(Var<'_>) -> Var<'_>;
    let functions: [(&str, F); 18] = [
        ("sum", |x| x.sum()),
        ("mean", |x| x.mean()),
        ("max", |x| x.max()),
        ("sum_axis 0", |x| x.sum_axis(0)),
        ("sum_axis 1", |x| x.sum_axis(1)),
        ("sum_axis in the middle", |x| x.reshape([2, ROWS, COLS / 2]).sum_axis(1)),
        ("max_axis 0", |x| x.max_axis(0)),
        ("max_axis 1", |x| x.max_axis(1)),
        ("softmax", |x| x.softmax()),
        ("log_softmax", |x| x.log_softmax()),
        ("logsumexp", |x| x.logsumexp()),
        ("gelu", |x| x.gelu()),
        ("softplus", |x| x.softplus()),
        ("layer_norm", |x| {
            let weight = x.slice(0, 0..1).reshape([COLS]);
            x.layer_norm(weight, weight, 1e-5)
        }),
        ("transpose", |x| x.transpose(0, 1)),
        ("index_select", |x| x.index_select(0, &[5, 700, 5, 0]).index_select(1, &[9, 9, 129])),
        ("cross_entropy", |x| x.cross_entropy(&[129; ROWS], &[true; ROWS])),
        ("kl_with_logits", |x| {
            let targets = x.softmax().transpose(0, 1).reshape([ROWS, COLS]).value();
            x.kl_with_logits(&targets, &[true; ROWS])
        }),
    ];
    let x = uniform([ROWS, COLS], &mut rng(6, 0));
    for (name, f) in functions {
        let run = || {
            let tape = Tape::new();
            let x = tape.variable(x.clone());
            let y = f(x);
            let cotangent = uniform(y.shape(), &mut common::rng(7, 0));
            [y.value(), tape.backward_from(y, cotangent).wrt(x).expect("a gradient")]
        };
        let one = in_pool(1, run);
        for threads in [2, 7, 7] {
            let what = format!("{name}, {threads} threads");
            for (a, b) in one.iter().zip(&in_pool(threads, run)) {
                assert_same_bits(a.as_slice(), b.as_slice(), &what);
            }
        }
    }
}

/// Forward and backward, in batches of any size and order, over odd widths.
#[test]
fn a_row_does_not_depend_on_its_batch() {
    const ROWS: usize = 259;
    for (d, n, o) in [(37, 5, 128), (257, 3, 37), (128, 4, 1), (300, 2, 65)] {
        let (model, rows) = (Model::new(d, n, o), Rows::new(ROWS, d, n));
        let whole = model.run(&rows);
        let check = |picked: &[usize], what: &str| {
            let part = model.run(&rows.pick(picked));
            for (part, whole) in part.by_row.iter().zip(&whole.by_row) {
                let expected = pick_rows(whole, picked);
                let what = format!("{what}, widths {d}, {n}, {o}");
                assert_same_bits(part.as_slice(), expected.as_slice(), &what);
            }
        };
        let all: Vec<usize> = (0..ROWS).collect();
        for row in [0, 1, 63, 64, 100, ROWS - 1] {
            check(&[row], "a row alone");
        }
        check(&all[..ROWS / 2], "the first half");
        check(&all[ROWS / 2..], "the second half");
        check(&all.iter().rev().copied().collect::<Vec<_>>(), "backwards");
        check(&all.iter().map(|row| row * 100 % ROWS).collect::<Vec<_>>(), "shuffled");
        for size in [2, 3, 15, 16, 17, 63, 64, 65, 129] {
            check(&all[40..40 + size], "a window");
        }
    }
}

/// A row of a product has the same bits whatever rows stand around it, in every layout.
#[test]
fn a_row_of_a_product_does_not_depend_on_the_others() {
    const ROWS: usize = 150;
    let mut rng = rng(4, 0);
    for k in [1, 37, 128, 257, 300] {
        for n in [1, 37, 128, 257, 300] {
            let (a, b) = (uniform([ROWS, k], &mut rng), uniform([k, n], &mut rng));
            let bias = uniform([n], &mut rng);
            let of_group = |_| bias.as_slice();
            let biased = Around { bias: Some(&of_group), after: None };
            for (b, around) in [
                (Mat::new(b.as_slice(), k, n), Around::default()),
                (Mat::new(b.as_slice(), k, n), biased),
                (Mat::new(b.as_slice(), n, k).t(), Around::default()),
            ] {
                let product = |a: Mat<'_>| {
                    let mut c = vec![Real::NAN; a.rows() * n];
                    gemm_groups(1, |_| (a, b), around, &mut c);
                    c
                };
                let rows = |first: usize, count: usize| {
                    let a = &a.as_slice()[first * k..(first + count) * k];
                    product(Mat::new(a, count, k))
                };
                let whole = rows(0, ROWS);
                for count in [1, 2, 3, 15, 16, 17, 63, 64, 65, 129] {
                    for first in [0, ROWS - count] {
                        let expected = &whole[first * n..(first + count) * n];
                        let what = format!("rows {first}+{count} of k {k}, n {n}, {around:?}");
                        assert_same_bits(&rows(first, count), expected, &what);
                    }
                }
                // The same left factor stored by columns.
                let turned: Vec<Real> =
                    (0..k * ROWS).map(|i| a.as_slice()[i % ROWS * k + i / ROWS]).collect();
                let c = product(Mat::new(&turned, k, ROWS).t());
                assert_same_bits(&c, &whole, "the left factor by columns");
            }
        }
    }
}

/// A product in a group has the bits it has alone.
#[test]
fn a_product_does_not_depend_on_its_group() {
    let mut rng = rng(5, 0);
    let (k, n) = (37, 29);
    let factors: Vec<[Tensor; 2]> =
        [0, 1, 200, 64, 65].map(|m| [uniform([m, k], &mut rng), uniform([k, n], &mut rng)]).into();
    fn mats(pair: &[Tensor; 2]) -> [Mat<'_>; 2] {
        pair.each_ref().map(|tensor| Mat::new(tensor.as_slice(), tensor.rows(), tensor.cols()))
    }
    let rows: usize = factors.iter().map(|pair| pair[0].rows()).sum();
    let mut together = vec![0.0; rows * n];
    let products = |group: usize| mats(&factors[group]).into();
    gemm_groups(factors.len(), products, Around::default(), &mut together);
    let mut rest = together.as_slice();
    for pair in &factors {
        let [a, b] = mats(pair);
        let mut alone = vec![0.0; pair[0].rows() * n];
        gemm(a, b, &mut alone);
        let (here, after) = rest.split_at(alone.len());
        assert_same_bits(here, &alone, "in a group and alone");
        rest = after;
    }
}

/// A bias and what follows a product, in the pass of the product and by themselves: few rows and many, several
/// blocks of the inner dimension and none, several groups of columns of which the last is whole or not.
#[test]
fn what_is_around_a_product_does_not_depend_on_the_pass() {
    let mut rng = rng(6, 0);
    for [m, k, n] in
        [[40, 300, 640], [40, 20, 701], [5, 30, 640], [5, 30, 331], [40, 0, 301], [9, 2, 1]]
    {
        let (a, b) = (uniform([m, k], &mut rng), uniform([k, n], &mut rng));
        let bias = uniform([n], &mut rng);
        // A column of ones and the bias: sums that begin with it.
        let one_more: Vec<Real> = (0..m)
            .flat_map(|row| [&[1.0], &a.as_slice()[row * k..(row + 1) * k]].concat())
            .collect();
        let below = [bias.as_slice(), b.as_slice()].concat();
        let (a, b) = (Mat::new(a.as_slice(), m, k), Mat::new(b.as_slice(), k, n));
        let after = |row: usize, first: usize, values: &mut [Real]| {
            for (i, value) in values.iter_mut().enumerate() {
                *value = 2.0 * *value + (row * n + first + i) as Real;
            }
        };
        let mut expected = Tensor::zeros([m, n]);
        let with_bias = (Mat::new(&one_more, m, k + 1), Mat::new(&below, k + 1, n));
        gemm(with_bias.0, with_bias.1, expected.as_mut_slice());
        expected
            .as_mut_slice()
            .chunks_exact_mut(n)
            .enumerate()
            .for_each(|(row, c)| after(row, 0, c));
        let of_group = |_| bias.as_slice();
        let around = Around { bias: Some(&of_group), after: Some(&after) };
        let mut together = vec![Real::NAN; m * n];
        gemm_groups(1, |_| (a, b), around, &mut together);
        assert_same_bits(&together, expected.as_slice(), &format!("{m} by {k} by {n}"));
    }
}

/// Columns that are computed at different times drop what whole rows drop.
#[test]
fn wide_rows_drop_the_same_in_one_pass() {
    let mut rng = rng(7, 0);
    let (rows, inputs, outputs) = (40, 9, 700);
    let [x, w, b] = [[rows, inputs].into(), [inputs, outputs].into(), Shape::from([outputs])]
        .map(|shape| uniform(shape, &mut rng));
    let ids = row_ids(rows);
    let names = DrawRows { row_ids: &ids, experts: None };
    let philox = Philox::new(3, "dropout", 0);
    let tape = Tape::new();
    let [x, w, b] = [x, w, b].map(|value| tape.constant(value));
    let apart = x.linear(w, b).relu().dropout(0.3, philox, names).value();
    let draws = DropoutDraws { rate: 0.3, philox, rows: names };
    let together = x.linear_relu(w, b, Some(draws)).value();
    assert_same_bits(together.as_slice(), apart.as_slice(), "one pass");
}
