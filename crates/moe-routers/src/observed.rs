use moe_core::{Real, Tensor};

/// What a routing observed, as plain data that outlives its tape: observations of micro-batches are added up, and the
/// gate is given the sum after the step.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Observed {
    /// Number of rows (B).
    pub rows: usize,
    /// `[N]`: number of rows of each expert.
    pub load: Vec<u32>,
    /// Values that the gate wants to see in `after_step`: means over rows, in a shape of its choice.
    pub values: Option<Tensor>,
    /// What the wrapped gate observed of its own experts, where a wrapper permutes or mixes them.
    pub inner: Option<Box<Observed>>,
}

impl Observed {
    /// An observation of `rows` rows with this load, without values.
    pub fn of_load(rows: usize, load: Vec<u32>) -> Self {
        Observed { rows, load, ..Observed::default() }
    }

    /// Adds the observation of another micro-batch: rows and loads are added, values are averaged by rows.
    ///
    /// # Panics
    /// If it is from another router.
    pub fn add(&mut self, other: &Observed) {
        assert_eq!(self.load.len(), other.load.len(), "observations of another router");
        let rows = self.rows + other.rows;
        let share = other.rows as Real / rows.max(1) as Real;
        match (&mut self.values, &other.values) {
            (None, None) => {}
            (Some(values), Some(others)) if values.shape() == others.shape() => {
                for (value, other) in values.as_mut_slice().iter_mut().zip(others.as_slice()) {
                    *value += share * (other - *value);
                }
            }
            _ => panic!("observations of another router"),
        }
        self.load.iter_mut().zip(&other.load).for_each(|(load, other)| *load += other);
        self.rows = rows;
        match (&mut self.inner, &other.inner) {
            (None, None) => {}
            (Some(inner), Some(other)) => inner.add(other),
            _ => panic!("observations of another router"),
        }
    }

    /// Makes this the observation of a wrapper around a gate that observed `inner`: the load stays, the values go. If
    /// nothing was observed, nothing is.
    pub fn wrap(&mut self, inner: Observed) {
        if *self != Observed::default() {
            (self.values, self.inner) = (None, Some(Box::new(inner)));
        }
    }

    /// What the wrapped gates observed.
    ///
    /// # Panics
    /// If an observation is not one of a wrapper.
    pub fn inner_of(observed: &[Observed]) -> Vec<Observed> {
        let inner = |observed: &Observed| observed.inner.as_deref().cloned();
        observed.iter().map(|o| inner(o).expect("the observation of a wrapper")).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn observed(rows: usize, load: [u32; 2], value: Real) -> Observed {
        let values = Some(Tensor::full([1], value));
        Observed { values, ..Observed::of_load(rows, load.to_vec()) }
    }

    #[test]
    fn loads_are_added_and_values_averaged_by_rows_at_every_level() {
        let wrapped = |rows, load, inner| {
            let mut outer = Observed::of_load(rows, load);
            outer.wrap(inner);
            outer
        };
        let mut all = wrapped(1, vec![0, 1], observed(1, [1, 0], 4.0));
        all.add(&wrapped(3, vec![2, 1], observed(3, [0, 3], 8.0)));
        assert_eq!(all, wrapped(4, vec![2, 2], observed(4, [1, 3], 7.0)));
        assert_eq!(Observed::inner_of(&[all]), [observed(4, [1, 3], 7.0)]);
    }

    #[test]
    #[should_panic(expected = "observations of another router")]
    fn another_router_is_refused() {
        observed(1, [1, 0], 4.0).add(&Observed::of_load(1, vec![1, 0]));
    }
}
