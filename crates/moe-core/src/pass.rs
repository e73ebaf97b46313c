//! The circumstances of a forward pass.

use std::ops::Range;

use crate::buffer::Buffer;
use crate::dispatch::plan::ExpertPlan;
use crate::random::dropout_mask::DrawRows;
use crate::random::philox::Philox;

/// The mode of a forward pass: training or inference.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Training: dropout, sampling, noise and auxiliary losses are on.
    Train,
    /// Inference: nothing is drawn.
    Infer,
}

/// The context of one forward pass: everything that modules and routers need besides their inputs.
#[derive(Clone, Copy, Debug)]
pub struct Pass<'a> {
    /// Training or inference.
    pub mode: Mode,
    /// Seed of the run.
    pub seed: u64,
    /// Number of steps before this one. All random draws of a pass are keyed by it.
    pub step: u64,
    /// Number of epochs completed before this one.
    pub epoch: u64,
    /// Identity of each of the B rows; see [`Batch::row_ids`](crate::batch::Batch::row_ids).
    pub row_ids: &'a [u64],
    /// Lookup key of each row; see [`Batch::keys`](crate::batch::Batch::keys).
    pub keys: &'a [u64],
    /// Planted group of each row; `None` where the data have none. See [`Batch::groups`](crate::batch::Batch::groups).
    pub groups: Option<&'a [u32]>,
    /// The row of the batch that each row belongs to; `None` where the rows are those of the batch. See [`TokenRows`].
    pub batch_rows: Option<&'a [u32]>,
    /// The expert that computes each row; `None` outside experts. See [`SlotRows`].
    pub experts: Option<&'a [u32]>,
}

impl<'a> Pass<'a> {
    /// The pass of inference on rows that are known by their keys alone.
    pub fn of_keys(keys: &'a [u64]) -> Self {
        Pass {
            mode: Mode::Infer,
            seed: 0,
            step: 0,
            epoch: 0,
            row_ids: keys,
            keys,
            groups: None,
            batch_rows: None,
            experts: None,
        }
    }

    /// Returns whether this is a training pass.
    pub fn is_training(&self) -> bool {
        self.mode == Mode::Train
    }

    /// The random function for `purpose` at this step.
    pub fn philox(&self, purpose: &str) -> Philox {
        Philox::new(self.seed, purpose, self.step)
    }

    /// The names of the rows for random draws.
    pub fn draw_rows(&self) -> DrawRows<'a> {
        DrawRows { row_ids: self.row_ids, experts: self.experts }
    }

    /// The pass of a range of rows.
    ///
    /// # Panics
    /// If the range ends behind the last row.
    pub fn rows(&self, rows: Range<usize>) -> Pass<'a> {
        Pass {
            row_ids: &self.row_ids[rows.clone()],
            keys: &self.keys[rows.clone()],
            groups: self.groups.map(|groups| &groups[rows.clone()]),
            batch_rows: self.batch_rows.map(|batch_rows| &batch_rows[rows.clone()]),
            experts: self.experts.map(|experts| &experts[rows]),
            ..*self
        }
    }
}

/// The rows that the experts of a layer compute: one per slot of its plan.
///
/// A module draws the same numbers for the same row and expert, whether it gets all slots at once or those of one expert
/// ([`Pass::rows`]).
#[derive(Clone, Debug)]
pub struct SlotRows {
    row_ids: Buffer<u64>,
    keys: Buffer<u64>,
    groups: Option<Buffer<u32>>,
    experts: Buffer<u32>,
}

impl SlotRows {
    /// The slots of `plan`, for the rows of `pass`.
    ///
    /// Draws for the slots of expert e are keyed by e; inside expert o of another layer, by o N + e.
    ///
    /// # Panics
    /// If the plan has more rows than the pass.
    pub fn new(pass: &Pass<'_>, plan: &ExpertPlan) -> Self {
        let slots = plan.slots();
        let mut row_ids = Buffer::unspecified(slots);
        let mut keys = Buffer::unspecified(slots);
        let mut groups = pass.groups.map(|_| Buffer::unspecified(slots));
        let mut experts = Buffer::copy_of(plan.slot_experts());
        for (slot, &row) in plan.slot_rows().iter().enumerate() {
            let row = row as usize;
            row_ids[slot] = pass.row_ids[row];
            keys[slot] = pass.keys[row];
            if let (Some(groups), Some(of_rows)) = (&mut groups, pass.groups) {
                groups[slot] = of_rows[row];
            }
            if let Some(outer) = pass.experts {
                let first = outer[row].wrapping_mul(plan.num_experts() as u32);
                experts[slot] = experts[slot].wrapping_add(first);
            }
        }
        SlotRows { row_ids, keys, groups, experts }
    }

    /// The pass `pass` with these rows.
    pub fn pass<'a>(&'a self, pass: &Pass<'_>) -> Pass<'a> {
        let SlotRows { row_ids, keys, groups, experts } = self;
        let groups = groups.as_deref();
        let Pass { mode, seed, step, epoch, .. } = *pass;
        Pass {
            mode,
            seed,
            step,
            epoch,
            row_ids,
            keys,
            groups,
            batch_rows: None,
            experts: Some(experts),
        }
    }
}

/// The tokens of the rows of a pass as rows of their own, so that a router decides for each token.
///
/// The key of a token is its id in the vocabulary, and its group that of its row. Its row id, which keys its random draws,
/// follows from the id of its row and its position there, whatever else is in the batch.
#[derive(Clone, Debug)]
pub struct TokenRows {
    row_ids: Buffer<u64>,
    keys: Buffer<u64>,
    groups: Option<Buffer<u32>>,
    batch_rows: Buffer<u32>,
}

impl TokenRows {
    /// The tokens `ids`, of which `ids[offsets[r]..offsets[r + 1]]` are those of row r.
    ///
    /// # Panics
    /// If the offsets do not divide the tokens among the rows of the pass.
    pub fn new(pass: &Pass<'_>, ids: &[u32], offsets: &[u32]) -> Self {
        assert_eq!(offsets.len(), pass.row_ids.len() + 1, "one more offset than rows");
        let ends = (offsets[0] as usize, offsets[pass.row_ids.len()] as usize);
        assert_eq!(ends, (0, ids.len()), "the offsets begin at 0 and end at the number of tokens");
        let philox = Philox::new(0, "token", 0);
        let mut rows = TokenRows {
            row_ids: Buffer::unspecified(ids.len()),
            keys: Buffer::unspecified(ids.len()),
            groups: pass.groups.map(|_| Buffer::unspecified(ids.len())),
            batch_rows: Buffer::unspecified(ids.len()),
        };
        for (row, bounds) in offsets.windows(2).enumerate() {
            for token in bounds[0]..bounds[1] {
                let [low, high, ..] = philox.row_block(pass.row_ids[row], token - bounds[0], 0);
                let token = token as usize;
                rows.row_ids[token] = u64::from(high) << 32 | u64::from(low);
                rows.keys[token] = ids[token].into();
                rows.batch_rows[token] = row as u32;
                if let (Some(groups), Some(of_rows)) = (&mut rows.groups, pass.groups) {
                    groups[token] = of_rows[row];
                }
            }
        }
        rows
    }

    /// The pass `pass` with these rows.
    pub fn pass<'a>(&'a self, pass: &Pass<'_>) -> Pass<'a> {
        let TokenRows { row_ids, keys, groups, batch_rows } = self;
        let groups = groups.as_deref();
        let Pass { mode, seed, step, epoch, .. } = *pass;
        Pass {
            mode,
            seed,
            step,
            epoch,
            row_ids,
            keys,
            groups,
            batch_rows: Some(batch_rows),
            experts: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dispatch::assignments::Assignments;

    #[test]
    fn slot_rows_are_named_by_row_and_expert() {
        let (row_ids, keys) = ([70, 71, 72], [0, 1, 2]);
        let (mode, seed, step, epoch) = (Mode::Train, 1, 2, 3);
        let groups = Some(&[4, 5, 6][..]);
        let inference = Pass { row_ids: &row_ids, groups, ..Pass::of_keys(&keys) };
        let pass = Pass { mode, seed, step, epoch, ..inference };
        let plan = ExpertPlan::new(&[&Assignments::from_rows(3, [vec![0, 2], vec![2], vec![0]])]);
        let slots = SlotRows::new(&pass, &plan);
        let inside = slots.pass(&pass);
        assert_eq!(
            (inside.mode, inside.seed, inside.step, inside.epoch),
            (mode, seed, step, epoch)
        );
        assert_eq!(inside.row_ids, [70, 72, 70, 71]);
        assert_eq!(inside.keys, [0, 2, 0, 1]);
        assert_eq!(inside.groups, Some(&[4, 6, 4, 5][..]));
        assert_eq!(inside.experts, Some(&[0, 0, 2, 2][..]));

        let of_expert = inside.rows(plan.slots_of_expert(2));
        assert_eq!((of_expert.row_ids, of_expert.keys), (&[70, 71][..], &[0, 1][..]));
        assert_eq!(of_expert.groups, Some(&[4, 5][..]));
        assert_eq!(of_expert.draw_rows().experts, Some(&[2, 2][..]));

        // A layer inside of these experts: 2 * 4 + 3.
        let inner = ExpertPlan::new(&[&Assignments::from_rows(4, [[3], [1]])]);
        let inner = SlotRows::new(&of_expert, &inner);
        assert_eq!(inner.pass(&of_expert).experts, Some(&[9, 11][..]));
    }

    #[test]
    fn token_rows_are_named_by_row_and_position() {
        let keys = [7, 8, 9];
        let of = |row_ids: &[u64], ids: &[u32], offsets: &[u32]| {
            let groups = row_ids.iter().map(|&id| id as u32).collect::<Vec<_>>();
            let pass =
                Pass { row_ids, groups: Some(&groups), ..Pass::of_keys(&keys[..row_ids.len()]) };
            let rows = TokenRows::new(&pass, ids, offsets);
            let inside = rows.pass(&pass);
            assert_eq!(inside.row_ids.len(), ids.len());
            let of_tokens = inside.batch_rows.unwrap().iter().map(|&row| groups[row as usize]);
            assert!(of_tokens.eq(inside.groups.unwrap().iter().copied()));
            (inside.row_ids.to_vec(), inside.keys.to_vec(), inside.batch_rows.unwrap().to_vec())
        };
        let (row_ids, keys, batch_rows) = of(&[70, 71, 72], &[5, 5, 6, 5], &[0, 2, 2, 4]);
        assert_eq!((&keys[..], &batch_rows[..]), (&[5, 5, 6, 5][..], &[0, 0, 2, 2][..]));
        assert_eq!(row_ids.iter().collect::<std::collections::BTreeSet<_>>().len(), 4);
        // The same tokens in another batch.
        assert_eq!(of(&[72, 70], &[6, 5, 5], &[0, 2, 3]).0, [row_ids[2], row_ids[3], row_ids[0]]);
    }

    #[test]
    #[should_panic(expected = "end at the number of tokens")]
    fn tokens_without_a_row_are_refused() {
        TokenRows::new(&Pass::of_keys(&[1]), &[3, 4], &[0, 1]);
    }
}
