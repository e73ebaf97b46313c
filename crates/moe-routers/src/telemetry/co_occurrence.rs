use moe_core::dispatch::Assignments;

/// How many rows go to each two experts together, added up over batches: N² numbers, so asked for and not always there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CoOccurrence {
    num_experts: usize,
    counts: Vec<u64>,
}

impl CoOccurrence {
    /// No rows yet.
    pub fn new(num_experts: usize) -> Self {
        CoOccurrence { num_experts, counts: vec![0; num_experts * num_experts] }
    }

    /// Adds a batch of one gate.
    ///
    /// # Panics
    /// If it has another number of experts.
    pub fn add(&mut self, assignments: &Assignments) {
        assert_eq!(assignments.num_experts(), self.num_experts, "another number of experts");
        for row in 0..assignments.rows() {
            let experts = assignments.of_row(row);
            for &a in experts {
                for &b in experts {
                    self.counts[a as usize * self.num_experts + b as usize] += 1;
                }
            }
        }
    }

    /// `[N, N]`, row-major and symmetric; the diagonal is the load.
    pub fn counts(&self) -> &[u64] {
        &self.counts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_counted_for_each_two_experts() {
        let mut counts = CoOccurrence::new(3);
        counts.add(&Assignments::from_rows(3, [vec![0, 2], vec![2], vec![]]));
        counts.add(&Assignments::from_rows(3, [vec![0, 1, 2]]));
        assert_eq!(counts.counts(), [2, 1, 2, 1, 1, 1, 2, 1, 3]);
    }
}
