//! Metrics over a whole data split, in double precision, as scikit-learn computes them. Each metric documents its value for
//! an empty split, for which scikit-learn raises an error.

use std::collections::BTreeMap;

/// Exact area under the ROC curve: the probability that a positive scores higher than a negative, with ties counted half
/// (Mann-Whitney). `None` if only one class occurs.
///
/// # Panics
/// If the lengths differ.
pub fn roc_auc(scores: &[f64], positive: &[bool]) -> Option<f64> {
    assert_eq!(scores.len(), positive.len(), "one label per score");
    let positives = positive.iter().filter(|&&p| p).count();
    let negatives = positive.len() - positives;
    if positives == 0 || negatives == 0 {
        return None;
    }
    let mut order: Vec<usize> = (0..scores.len()).collect();
    order.sort_unstable_by(|&a, &b| scores[a].total_cmp(&scores[b]));
    // Twice the number of (positive, lower negative) pairs, ties counted once: exact in integers.
    let mut twice = 0u64;
    let mut negatives_below = 0u64;
    for ties in order.chunk_by(|&a, &b| scores[a] == scores[b]) {
        let positives_here = ties.iter().filter(|&&i| positive[i]).count() as u64;
        let negatives_here = ties.len() as u64 - positives_here;
        twice += positives_here * (2 * negatives_below + negatives_here);
        negatives_below += negatives_here;
    }
    Some(twice as f64 / (2 * positives * negatives) as f64)
}

/// Fraction of rows with a correct prediction; 0 if there are no rows.
///
/// # Panics
/// If the lengths differ.
pub fn accuracy<T: PartialEq>(predicted: &[T], actual: &[T]) -> f64 {
    assert_eq!(predicted.len(), actual.len(), "one prediction per row");
    let hits = predicted.iter().zip(actual).filter(|(a, b)| a == b).count();
    hits as f64 / actual.len().max(1) as f64
}

/// Mean squared error; 0 if there are no rows.
///
/// # Panics
/// If the lengths differ.
pub fn mse(predicted: &[f64], actual: &[f64]) -> f64 {
    mean(&squared_errors(predicted, actual))
}

/// The squared error of each row.
///
/// # Panics
/// If the lengths differ.
pub fn squared_errors(predicted: &[f64], actual: &[f64]) -> Vec<f64> {
    assert_eq!(predicted.len(), actual.len(), "one prediction per row");
    predicted.iter().zip(actual).map(|(p, a)| (p - a) * (p - a)).collect()
}

/// Root of the mean squared error; 0 if there are no rows.
///
/// # Panics
/// If the lengths differ.
pub fn rmse(predicted: &[f64], actual: &[f64]) -> f64 {
    mse(predicted, actual).sqrt()
}

/// F1 score of the positive class, 2 TP / (2 TP + FP + FN): the harmonic mean of precision and recall; 0 if no row is
/// positive and none is predicted to be.
///
/// # Panics
/// If the lengths differ.
pub fn f1(predicted: &[bool], actual: &[bool]) -> f64 {
    Classes::count(predicted, actual).0.get(&true).map_or(0.0, Class::f1)
}

/// Mean F1 score over the classes that occur in `predicted` or `actual`, each class against all others; 0 if there are no
/// rows.
///
/// # Panics
/// If the lengths differ.
pub fn macro_f1<T: Ord>(predicted: &[T], actual: &[T]) -> f64 {
    let classes = Classes::count(predicted, actual);
    classes.0.values().map(Class::f1).sum::<f64>() / classes.0.len().max(1) as f64
}

/// Matthews correlation coefficient (Matthews, 1975), for several classes in the form of Gorodkin (2004): 1 if all
/// rows agree, about 0 for unrelated labels. 0 if one side has a single class or there are no rows.
///
/// # Panics
/// If the lengths differ.
pub fn matthews_correlation<T: Ord>(predicted: &[T], actual: &[T]) -> f64 {
    let classes = Classes::count(predicted, actual);
    let rows = actual.len() as f64;
    let sum = |f: fn(&Class) -> f64| classes.0.values().map(f).sum::<f64>();
    // Covariances of the one-hot labels, times the number of rows squared: whole numbers.
    let both = sum(|class| class.hits as f64) * rows
        - sum(|class| class.predicted as f64 * class.actual as f64);
    let of_predicted = rows * rows - sum(|class| (class.predicted as f64).powi(2));
    let of_actual = rows * rows - sum(|class| (class.actual as f64).powi(2));
    if of_predicted == 0.0 || of_actual == 0.0 {
        return 0.0;
    }
    both / (of_predicted.sqrt() * of_actual.sqrt())
}

/// Number of rows in which a class is predicted, is the actual one, and both.
#[derive(Default)]
struct Class {
    predicted: u64,
    actual: u64,
    hits: u64,
}

impl Class {
    /// F1 score of a class that occurs.
    fn f1(&self) -> f64 {
        2.0 * self.hits as f64 / (self.predicted + self.actual) as f64
    }
}

/// The classes that occur.
struct Classes<'a, T>(BTreeMap<&'a T, Class>);

impl<'a, T: Ord> Classes<'a, T> {
    fn count(predicted: &'a [T], actual: &'a [T]) -> Self {
        assert_eq!(predicted.len(), actual.len(), "one prediction per row");
        let mut classes = BTreeMap::<&T, Class>::new();
        for (predicted, actual) in predicted.iter().zip(actual) {
            classes.entry(predicted).or_default().predicted += 1;
            let class = classes.entry(actual).or_default();
            class.actual += 1;
            class.hits += u64::from(predicted == actual);
        }
        Classes(classes)
    }
}

/// Mean binary cross-entropy of logits; 0 if there are no rows.
///
/// # Panics
/// If the lengths differ.
pub fn log_loss(logits: &[f64], positive: &[bool]) -> f64 {
    mean(&log_losses(logits, positive))
}

/// The binary cross-entropy of each row.
///
/// # Panics
/// If the lengths differ.
pub fn log_losses(logits: &[f64], positive: &[bool]) -> Vec<f64> {
    assert_eq!(logits.len(), positive.len(), "one label per logit");
    let losses = logits.iter().zip(positive).map(|(z, &positive)| {
        z.max(0.0) - if positive { *z } else { 0.0 } + (-z.abs()).exp().ln_1p()
    });
    losses.collect()
}

/// Mean cross-entropy of the softmax over rows of `classes` logits; 0 if there are no rows.
///
/// # Panics
/// If there is not one row of logits per label.
pub fn cross_entropy(logits: &[f64], classes: usize, labels: &[u32]) -> f64 {
    mean(&cross_entropies(logits, classes, labels))
}

/// The cross-entropy of each row.
///
/// # Panics
/// If there is not one row of logits per label, or a label is not below `classes`.
pub fn cross_entropies(logits: &[f64], classes: usize, labels: &[u32]) -> Vec<f64> {
    assert_eq!(logits.len(), classes * labels.len(), "one row of logits per label");
    let losses = logits.chunks_exact(classes.max(1)).zip(labels).map(|(row, &label)| {
        let max = row.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let sum: f64 = row.iter().map(|z| (z - max).exp()).sum();
        max + sum.ln() - row[label as usize]
    });
    losses.collect()
}

/// The mean; 0 if there are no values.
pub fn mean(values: &[f64]) -> f64 {
    // The sum of nothing would be -0.
    if values.is_empty() { 0.0 } else { values.iter().sum::<f64>() / values.len() as f64 }
}

/// Adjusted Rand index of two partitions (Hubert and Arabie, 1985): 1 for the same partition under any labels, about 0
/// for unrelated ones. Two partitions that are trivial in the same way have the index 1.
///
/// # Panics
/// If the lengths differ.
pub fn adjusted_rand_index(a: &[u32], b: &[u32]) -> f64 {
    assert_eq!(a.len(), b.len(), "one label per row in both partitions");
    let mut cells: BTreeMap<(u32, u32), u64> = BTreeMap::new();
    let (mut rows, mut cols) = (BTreeMap::<u32, u64>::new(), BTreeMap::<u32, u64>::new());
    for (&a, &b) in a.iter().zip(b) {
        *cells.entry((a, b)).or_default() += 1;
        *rows.entry(a).or_default() += 1;
        *cols.entry(b).or_default() += 1;
    }
    let pairs = |n: u64| (n * n.saturating_sub(1)) as f64 / 2.0;
    let together: f64 = cells.values().map(|&n| pairs(n)).sum();
    let in_a: f64 = rows.values().map(|&n| pairs(n)).sum();
    let in_b: f64 = cols.values().map(|&n| pairs(n)).sum();
    let all = pairs(a.len() as u64);
    let expected = if all > 0.0 { in_a * in_b / all } else { 0.0 };
    let largest = (in_a + in_b) / 2.0;
    if largest == expected { 1.0 } else { (together - expected) / (largest - expected) }
}
