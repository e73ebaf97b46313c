use crate::buffer::Buffer;
use crate::kernel::geometry::MOST_ROWS;
use crate::kernel::isa::Isa;
use crate::kernel::mat::{Mat, PackedMat};
use crate::kernel::product::{Product, RowFn, Start};
use crate::kernel::zeros::Zeros;
use crate::real::Real;

use super::multiply::product;
use super::pack::in_panels;
use super::wide::{Loops, wide_on};

fn numbers(count: usize, seed: usize) -> Vec<Real> {
    (0..count).map(|i| ((i * 37 + seed * 11) % 19) as Real / 4.0 - 2.0).collect()
}

/// Everything that could be fused or reordered: products added up in chains, a root, a quotient.
struct Chains<'a>(&'a [Real]);

impl Loops for Chains<'_> {
    type Output = [Real; 8];

    #[inline(always)]
    fn run(self) -> [Real; 8] {
        let mut sums = [0.0; 8];
        for chunk in self.0.as_chunks::<8>().0 {
            for i in 0..8 {
                sums[i] = sums[i] * 0.9 + chunk[i] * chunk[i] / (1.0 + chunk[i].abs().sqrt());
            }
        }
        sums
    }
}

#[test]
fn wide_loops_find_the_same_numbers() {
    let values = numbers(1000, 3);
    for isa in Isa::available() {
        let found = wide_on(isa, Chains(&values));
        assert_eq!(found.map(Real::to_bits), Chains(&values).run().map(Real::to_bits), "{isa:?}");
    }
}

/// Small enough for miri. The numbers are short, so every sum is exact in any order.
#[test]
fn every_instruction_set_layout_and_edge_agrees_with_the_definition() {
    let mut shapes =
        vec![(1, 1, 1), (1, 6, 21), (2, 3, 4), (7, 5, 9), (9, 2, 49), (15, 300, 17), (3, 0, 5)];
    shapes.extend([(35, 20, 51), (33, 258, 9)]);
    if !cfg!(miri) {
        // Several panels and blocks of strips, and one that the portable kernel hands over.
        shapes.extend([
            (70, 300, 100),
            (MOST_ROWS, 9, 65),
            (2, 513, 520),
            (40, 256, 640),
            (1, 300, 530),
            (256, 70, 1),
        ]);
    }
    for (m, k, n) in shapes {
        let (a, b) = (numbers(m * k, 1), numbers(k * n, 2));
        let a_turned: Vec<Real> = (0..k * m).map(|i| a[i % m * k + i / m]).collect();
        let b_turned: Vec<Real> = (0..n * k).map(|i| b[i % k * n + i / k]).collect();
        let plain = (Mat::new(&a, m, k), Mat::new(&b, k, n));
        let turned = (Mat::new(&a_turned, k, m).t(), Mat::new(&b_turned, n, k).t());
        for isa in Isa::available() {
            for (x, y) in [plain, (turned.0, plain.1), (plain.0, turned.1), turned] {
                // With and without what changes only the time.
                for (accumulate, following) in [(false, Some((x, y))), (true, None)] {
                    let mut c = Buffer::filled(m * n, 1.0);
                    let start = if accumulate { Start::Present } else { Start::Zero };
                    let (after, zeros) = (None, Zeros::Few);
                    let of = Product { a: x, b: y, start, after, following, zeros };
                    product(isa, of, &mut c);
                    for (at, &got) in c.iter().enumerate() {
                        let terms = (0..k).map(|p| a[at / n * k + p] * b[p * n + at % n]);
                        let expected = terms.sum::<Real>() + Real::from(u8::from(accumulate));
                        assert_eq!(got, expected, "{isa:?} {m}x{k}x{n} at {at}");
                    }
                }
            }
        }
    }
}

/// The panels and the matrix hold different values, so that the result shows which were read.
#[test]
fn panels_copied_before_are_read() {
    // The first of them are small enough for miri.
    let mut shapes = vec![(2, 3, 8), (7, 20, 16), (15, 5, 40), (35, 258, 24)];
    if !cfg!(miri) {
        shapes.extend([(2, 500, 520), (40, 256, 640), (MOST_ROWS, 300, 96), (64, 70, 304)]);
    }
    for isa in Isa::available() {
        let mut read = 0;
        for &(m, k, n) in &shapes {
            let (a, other) = (numbers(m * k, 1), vec![Real::NAN; k * n]);
            let (left, b) = (Mat::new(&a, m, k), numbers(k * n, 2));
            let mut panels = vec![0.0; k * n];
            if !in_panels(isa, Mat::new(&b, k, n), &mut panels) {
                assert!(!n.is_multiple_of(16), "{isa:?} {n} columns");
                continue;
            }
            read += 1;
            let packed = |isa| Some(PackedMat { values: &panels, isa });
            let right = Mat { packed: packed(isa), ..Mat::new(&other, k, n) };
            let computed = |b: Mat<'_>, following| {
                let mut c = Buffer::filled(m * n, 1.0);
                let (start, after, zeros) = (Start::Present, None, Zeros::Few);
                let of = Product { a: left, b, start, after, following, zeros };
                product(isa, of, &mut c);
                c.to_vec()
            };
            let expected = computed(Mat::new(&b, k, n), None);
            for following in [None, Some((left, right))] {
                assert!(computed(right, following) == expected, "{isa:?} {m}x{k}x{n}");
            }
            // Panels of another instruction set are not read, nor those of the matrix before it was transposed.
            for other in Isa::available().filter(|&other| other != isa) {
                let right = Mat { packed: packed(other), ..Mat::new(&b, k, n) };
                assert!(computed(right, None) == expected, "{isa:?} {m}x{k}x{n} of {other:?}");
            }
            assert!(right.t().packed.is_none() && right.row_range(0, 1).packed.is_none());
        }
        assert!(read >= 2, "{isa:?}");
    }
}

#[test]
#[should_panic(expected = "3x16 matrix as panels")]
fn panels_of_another_size_are_refused() {
    let (a, b) = (numbers(6, 1), numbers(48, 2));
    let packed = Some(PackedMat { values: &b[1..], isa: Isa::Portable });
    let of = Product {
        a: Mat::new(&a, 2, 3),
        b: Mat { packed, ..Mat::new(&b, 3, 16) },
        start: Start::Zero,
        after: None,
        following: None,
        zeros: Zeros::Few,
    };
    product(Isa::Portable, of, &mut [0.0; 32]);
}

/// A third of the numbers are not zero, and their sums are not exact.
fn with_zeros(count: usize, seed: usize) -> Vec<Real> {
    let number = |i: usize| (i * 7919 + seed * 104_729) % 1009;
    let value = |n: usize| if n.is_multiple_of(3) { (n as Real / 9.0).sin() } else { 0.0 };
    (0..count).map(|i| value(number(i))).collect()
}

#[test]
fn zeros_are_skipped() {
    let (zeros, infinite) = (vec![0.0; 48 * 5], vec![Real::INFINITY; 5 * 48]);
    let (zero_left, right) = (Mat::new(&zeros, 48, 5), Mat::new(&infinite, 5, 48));
    let (left, zero_right) = (Mat::new(&infinite, 48, 5), Mat::new(&zeros, 5, 48));
    for isa in Isa::available() {
        for (a, b, zeros, expected) in [
            (zero_left, right, Zeros::Left, true),
            (left, zero_right, Zeros::Right, true),
            (zero_left, right, Zeros::Few, false),
        ] {
            let mut c = vec![1.0; 48 * 48];
            let (start, after, following) = (Start::Zero, None, None);
            product(isa, Product { a, b, start, after, following, zeros }, &mut c);
            assert_eq!(c.iter().all(|&sum| sum == 0.0), expected, "{isa:?} {zeros:?}");
        }
    }
}

#[test]
fn products_that_skip_zeros_have_the_same_bits() {
    // The first of them suits narrow registers only, and is small enough for miri.
    let mut shapes = vec![(33, 5, 8), (40, 21, 32)];
    if !cfg!(miri) {
        shapes.extend([(64, 100, 32), (33, 260, 240), (96, 70, 264), (512, 1030, 368)]);
    }
    for (m, k, n) in shapes {
        let (a, b) = (with_zeros(m * k, 1), with_zeros(k * n, 2));
        let (left, right) = (Mat::new(&a, m, k), Mat::new(&b, k, n));
        let (turned_left, turned_right) = (Mat::new(&a, k, m).t(), Mat::new(&b, n, k).t());
        let row = numbers(n, 3);
        for isa in Isa::available() {
            for (a, b) in [
                (left, right),
                (turned_left, right),
                (left, turned_right),
                (turned_left, turned_right),
            ] {
                for start in [Start::Zero, Start::Present, Start::Row(&row)] {
                    let computed = |zeros: Zeros, following| {
                        let mut c = Buffer::copy_of(&numbers(m * n, 4));
                        let after = |row: usize, col: usize, values: &mut [Real]| {
                            values.iter_mut().enumerate().for_each(|(i, value)| {
                                *value += (row * n + col + i) as Real;
                            });
                        };
                        let is_zero = matches!(start, Start::Zero);
                        let after = (!is_zero).then_some(&after as RowFn<'_>);
                        let of = Product { a, b, start, after, following, zeros };
                        product(isa, of, &mut c);
                        c.to_vec()
                    };
                    let expected = computed(Zeros::Few, None);
                    assert!(expected == computed(Zeros::Left, Some((a, b))), "{isa:?} {a:?}");
                    assert!(expected == computed(Zeros::Right, Some((a, b))), "{isa:?} {b:?}");
                }
            }
        }
    }
}

#[test]
#[should_panic(expected = "outside its slice")]
fn a_matrix_larger_than_its_slice_is_refused() {
    let data = [0.0; 5];
    let (a, b) = (Mat::new(&data, 2, 3), Mat::new(&[0.0; 3], 3, 1));
    let (start, after, following) = (Start::Zero, None, None);
    let zeros = Zeros::Few;
    let of = Product { a, b, start, after, following, zeros };
    product(Isa::Portable, of, &mut [0.0; 2]);
}
