//! Ratings as read from a file: ids without gaps, each pair once.

use std::path::Path;

use crate::error::DataError;
use crate::features::vocabulary::{Numbering, Vocabulary};

/// The ratings of a set, one row for each pair of user and item.
#[derive(Debug, Default)]
pub(crate) struct Ratings {
    pub(crate) users: Vec<u32>,
    pub(crate) items: Vec<u32>,
    /// NaN where the user had the item without rating it.
    pub(crate) values: Vec<f32>,
    pub(crate) user_names: Vocabulary,
    pub(crate) item_names: Vocabulary,
}

/// Collects ratings as they are read.
#[derive(Default)]
pub(crate) struct Collector {
    pub(crate) users: Numbering,
    pub(crate) items: Numbering,
    rows: Ratings,
    lines: Vec<u32>,
}

/// How to treat a pair of user and item that occurs again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Duplicates {
    /// It is an error: the original data has each pair once.
    Refused,
    /// The last rating counts, at its position in the file.
    LastCounts,
}

impl Collector {
    /// Adds the rating of an item by a user, with the numbers of [`Collector::users`] and [`Collector::items`].
    pub(crate) fn push(&mut self, user: u32, item: u32, value: f32, line: u64) {
        self.rows.users.push(user);
        self.rows.items.push(item);
        self.rows.values.push(value);
        self.lines.push(line.try_into().unwrap_or(u32::MAX));
    }

    pub(crate) fn len(&self) -> usize {
        self.lines.len()
    }

    /// The collected ratings of users and items with at least `least` ratings each. They are counted once, before any is
    /// left out, so some that stay can end up with fewer.
    ///
    /// # Errors
    /// If a pair occurs twice in `file` and that is not allowed.
    pub(crate) fn finish(
        self,
        duplicates: Duplicates,
        least: usize,
        file: &Path,
    ) -> Result<Ratings, DataError> {
        let Collector { users, items, rows, lines } = self;
        let mut keep = vec![true; rows.len()];
        let by_user = ByUser::new(&rows.users, users.len());
        for [first, second] in repeated(&rows, &by_user, items.len()) {
            if duplicates == Duplicates::Refused {
                let row = second as usize;
                let (user, item) = (users.name(rows.users[row]), items.name(rows.items[row]));
                let before = lines[first as usize];
                let problem = format!("user {user:?} rates item {item:?}, as in line {before}");
                let allowed = "each pair of user and item once";
                return Err(DataError::malformed(file, lines[row].into(), None, problem, allowed));
            }
            keep[first as usize] = false;
        }
        drop((lines, by_user));

        if least > 1 {
            let count = |ids: &[u32], width| {
                let mut counts = vec![0; width];
                ids.iter().zip(&keep).for_each(|(&id, &k)| counts[id as usize] += usize::from(k));
                counts
            };
            let of_users = count(&rows.users, users.len());
            let of_items = count(&rows.items, items.len());
            for (row, keep) in keep.iter_mut().enumerate() {
                let [user, item] = [rows.users[row] as usize, rows.items[row] as usize];
                *keep &= of_users[user] >= least && of_items[item] >= least;
            }
        }
        let (user_names, item_names) = (users.into_names(), items.into_names());
        let mut ratings = Ratings { user_names, item_names, ..rows };
        if keep.contains(&false) {
            ratings.retain(&keep);
        }
        Ok(ratings)
    }
}

impl Ratings {
    pub(crate) fn len(&self) -> usize {
        self.users.len()
    }

    /// Drops the rows not to keep, and renumbers users and items.
    fn retain(&mut self, keep: &[bool]) {
        retain(&mut self.users, keep);
        retain(&mut self.items, keep);
        retain(&mut self.values, keep);
        self.user_names = renumber(&mut self.users, &self.user_names);
        self.item_names = renumber(&mut self.items, &self.item_names);
    }
}

fn retain<T>(column: &mut Vec<T>, keep: &[bool]) {
    let mut keep = keep.iter();
    column.retain(|_| keep.next() == Some(&true));
}

/// Numbers the ids that occur by first appearance; returns their names.
fn renumber(ids: &mut [u32], names: &Vocabulary) -> Vocabulary {
    const UNSEEN: u32 = u32::MAX;
    let mut new = vec![UNSEEN; names.len()];
    let mut order = Vec::new();
    for id in ids {
        let number = &mut new[*id as usize];
        if *number == UNSEEN {
            *number = order.len() as u32;
            order.push(*id);
        }
        *id = *number;
    }
    order.into_iter().filter_map(|id| names.name(id)).collect()
}

/// Rows grouped by user, each group in row order.
pub(crate) struct ByUser {
    starts: Vec<usize>,
    rows: Vec<u32>,
}

impl ByUser {
    /// Groups the rows by their `users`, all below `count`.
    pub(crate) fn new(users: &[u32], count: usize) -> Self {
        let mut starts = vec![0; count + 1];
        users.iter().for_each(|&user| starts[user as usize + 1] += 1);
        for user in 0..count {
            starts[user + 1] += starts[user];
        }
        let mut next = starts.clone();
        let mut rows = vec![0; users.len()];
        for (row, &user) in (0..).zip(users) {
            let place = &mut next[user as usize];
            rows[*place] = row;
            *place += 1;
        }
        ByUser { starts, rows }
    }

    pub(crate) fn rows(&self, user: usize) -> &[u32] {
        &self.rows[self.starts[user]..self.starts[user + 1]]
    }
}

/// Pairs of rows of the same user and item: each row with the next one.
fn repeated(rows: &Ratings, by_user: &ByUser, items: usize) -> Vec<[u32; 2]> {
    /// No row yet.
    const NONE: u32 = u32::MAX;
    let mut last = vec![NONE; items];
    let mut found = Vec::new();
    // Users come one after the other, so the last row of an item is this user's or an earlier user's.
    for &row in &by_user.rows {
        let place = &mut last[rows.items[row as usize] as usize];
        if *place != NONE && rows.users[*place as usize] == rows.users[row as usize] {
            found.push([*place, row]);
        }
        *place = row;
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Ratings of user, item, value, each line by line.
    fn collect(
        rows: &[(&str, &str, f32)],
        duplicates: Duplicates,
        least: usize,
    ) -> Result<Ratings, String> {
        let mut out = Collector::default();
        for (line, (user, item, value)) in (1..).zip(rows) {
            let (user, item) = (out.users.number(user), out.items.number(item));
            out.push(user, item, *value, line);
        }
        let ratings = out.finish(duplicates, least, Path::new("file"));
        ratings.map_err(|error| error.to_string())
    }

    const TWICE: [(&str, &str, f32); 5] =
        [("b", "x", 1.0), ("a", "x", 2.0), ("b", "y", 3.0), ("b", "x", 4.0), ("b", "x", 5.0)];

    #[test]
    fn a_pair_again_is_refused_or_the_last_counts() {
        let error = collect(&TWICE, Duplicates::Refused, 1).unwrap_err();
        assert_eq!(
            error,
            "file, line 4: user \"b\" rates item \"x\", as in line 1; \
             allowed: each pair of user and item once"
        );
        let ratings = collect(&TWICE, Duplicates::LastCounts, 1).unwrap();
        assert_eq!(ratings.values, [2.0, 3.0, 5.0]);
        assert_eq!((ratings.users, ratings.items), (vec![0, 1, 1], vec![0, 1, 0]));
        assert_eq!(ratings.user_names.names().collect::<Vec<_>>(), ["a", "b"]);
        let once = collect(&TWICE[..3], Duplicates::Refused, 1).unwrap();
        assert_eq!(once.user_names.names().collect::<Vec<_>>(), ["b", "a"]);
    }

    #[test]
    fn counts_for_the_least_are_taken_once_after_duplicates() {
        // x has 2 pairs, y 1; a has 1, b 2.
        let ratings = collect(&TWICE, Duplicates::LastCounts, 2).unwrap();
        assert_eq!(ratings.values, [5.0]);
        assert_eq!((ratings.users, ratings.items), (vec![0], vec![0]));
        assert_eq!(ratings.item_names.names().collect::<Vec<_>>(), ["x"]);
        assert_eq!(collect(&TWICE, Duplicates::LastCounts, 3).unwrap().len(), 0);
    }

    #[test]
    fn rows_by_user_keep_their_order() {
        let by_user = ByUser::new(&[2, 0, 2, 3, 2], 5);
        let rows: Vec<&[u32]> = (0..5).map(|user| by_user.rows(user)).collect();
        assert_eq!(rows, [&[1][..], &[], &[0, 2, 4], &[3], &[]]);
    }
}
