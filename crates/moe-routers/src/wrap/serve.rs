//! Decides which pairs an expert has room for.

use std::ops::Range;

use moe_core::Real;

use crate::registry::parameters::Choice;

/// The order in which rows are served if an expert cannot take all rows that chose it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ServeOrder {
    /// By position in the batch, as in GShard and the Switch Transformer.
    Position,
    /// By a row's largest weight, largest first, of equal ones the earlier: the batch prioritized routing of V-MoE
    /// (Riquelme and others, 2021, section 4.1). If all rows have the same largest weight, as with `top-k` and K = 1,
    /// they are served by position.
    Priority,
}

impl Choice for ServeOrder {
    const WORDS: &'static [(&'static str, Self)] =
        &[("position", ServeOrder::Position), ("priority", ServeOrder::Priority)];
}

/// The pairs that rows ask for, as compressed sparse rows.
#[derive(Clone, Copy)]
pub(crate) struct Offers<'a> {
    pub(crate) offsets: &'a [u32],
    pub(crate) experts: &'a [u32],
    pub(crate) weights: &'a [Real],
    pub(crate) num_experts: usize,
}

impl Offers<'_> {
    /// Size of the working memory that [`Offers::serve`] needs.
    pub(crate) fn memory(self) -> usize {
        self.experts.len() + self.rows() + self.num_experts
    }

    fn rows(self) -> usize {
        self.offsets.len() - 1
    }

    fn pairs_of(self, row: u32) -> Range<usize> {
        self.offsets[row as usize] as usize..self.offsets[row as usize + 1] as usize
    }

    /// Writes the pairs whose expert has room to the front of `pairs`, ascending, and returns their number.
    pub(crate) fn serve(
        self,
        capacity: usize,
        order: ServeOrder,
        memory: &mut [u32],
        pairs: &mut [u32],
    ) -> usize {
        let (choices, memory) = memory.split_at_mut(self.experts.len());
        let (rows, load) = memory.split_at_mut(self.rows());
        load.fill(0);
        self.experts.iter().for_each(|&expert| load[expert as usize] += 1);
        if load.iter().all(|&load| load as usize <= capacity) {
            count_up(pairs);
            return pairs.len();
        }
        let by_weight =
            |a: u32, b: u32| self.weights[b as usize].total_cmp(&self.weights[a as usize]);
        // The pairs of each row, in the order of its choices.
        count_up(choices);
        count_up(rows);
        let mut most = 0;
        for &row in rows.iter() {
            let choices = &mut choices[self.pairs_of(row)];
            choices.sort_unstable_by(|&a, &b| by_weight(a, b).then(a.cmp(&b)));
            most = most.max(choices.len());
        }
        if order == ServeOrder::Priority {
            let first = |row| choices[self.pairs_of(row)].first();
            rows.sort_unstable_by(|&a, &b| {
                let by_first = match (first(a), first(b)) {
                    (Some(&a), Some(&b)) => by_weight(a, b),
                    // Rows without choices come last.
                    (a, b) => b.is_some().cmp(&a.is_some()),
                };
                by_first.then(a.cmp(&b))
            });
        }
        load.fill(0);
        let mut count = 0;
        for choice in 0..most {
            for &row in rows.iter() {
                let Some(&pair) = choices[self.pairs_of(row)].get(choice) else {
                    continue;
                };
                let load = &mut load[self.experts[pair as usize] as usize];
                if (*load as usize) < capacity {
                    *load += 1;
                    pairs[count] = pair;
                    count += 1;
                }
            }
        }
        pairs[..count].sort_unstable();
        count
    }
}

/// Writes 0, 1, 2 and so on.
fn count_up(indices: &mut [u32]) {
    indices.iter_mut().enumerate().for_each(|(i, index)| *index = i as u32);
}
