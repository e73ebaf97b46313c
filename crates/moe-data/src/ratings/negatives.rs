//! Negatives: pairs of user and item that are not among the ratings, drawn at random.

use moe_core::rand::Rng;
use moe_core::rand::seq::index;
use moe_core::random::chacha;

use crate::ratings::ratings::{ByUser, Ratings};

/// Users and items of pairs, in the order of users.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Negatives {
    pub(crate) users: Vec<u32>,
    pub(crate) items: Vec<u32>,
}

/// Number of pairs that [`sample`] draws for a user with this number of `ratings`, of `items` items.
fn drawn(ratings: usize, per_rating: usize, items: usize) -> usize {
    ratings.saturating_mul(per_rating).min(items - ratings)
}

/// Number of pairs that [`sample`] draws in all.
pub(crate) fn count(ratings: &Ratings, per_rating: usize) -> usize {
    let mut of_users = vec![0; ratings.user_names.len()];
    ratings.users.iter().for_each(|&user| of_users[user as usize] += 1);
    let items = ratings.item_names.len();
    of_users.into_iter().map(|ratings| drawn(ratings, per_rating, items)).sum()
}

/// Draws `per_rating` items for each rating of a user, among the items that the user has not rated, all equally likely and
/// none twice. A user with fewer unrated items gets all of them.
///
/// Therefore COMET's MovieLens has 999,287 negatives for 1,000,209 ratings: one user rated more than half of the movies.
/// The draws of a user come from ChaCha8 under `seed`, "negatives" and the user's id.
pub(crate) fn sample(ratings: &Ratings, per_rating: usize, seed: u64) -> Negatives {
    let (users, items) = (ratings.user_names.len(), ratings.item_names.len());
    let total = count(ratings, per_rating);
    let mut pairs =
        Negatives { users: Vec::with_capacity(total), items: Vec::with_capacity(total) };
    let by_user = ByUser::new(&ratings.users, users);
    // The items of user u, rated or drawn, are marked u + 1.
    let mut marks = vec![0; items];
    for user in 0..users {
        let mark = user as u32 + 1;
        let rated = by_user.rows(user);
        rated.iter().for_each(|&row| marks[ratings.items[row as usize] as usize] = mark);
        let wanted = drawn(rated.len(), per_rating, items);
        let mut rng = chacha(seed, "negatives", user as u64);
        if rated.len() + wanted <= items / 2 {
            // At least half of the items are free: a pair takes at most two draws on average.
            for _ in 0..wanted {
                let item = loop {
                    let item = rng.random_range(0..items as u32);
                    if marks[item as usize] != mark {
                        break item;
                    }
                };
                marks[item as usize] = mark;
                pairs.items.push(item);
            }
        } else {
            let free: Vec<u32> =
                (0..items as u32).filter(|&item| marks[item as usize] != mark).collect();
            let chosen = index::sample(&mut rng, free.len(), wanted);
            pairs.items.extend(chosen.into_iter().map(|place| free[place]));
        }
        pairs.users.resize(pairs.items.len(), user as u32);
    }
    pairs
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;

    use super::*;

    /// Ratings of `items` items by users who have rated the items of each list.
    fn ratings(items: usize, rated: &[Vec<u32>]) -> Ratings {
        let names: Vec<String> = (0..items.max(rated.len())).map(|i| i.to_string()).collect();
        let names = |count| names[..count].iter().map(String::as_str).collect();
        let mut ratings = Ratings {
            user_names: names(rated.len()),
            item_names: names(items),
            ..Ratings::default()
        };
        for (user, rated) in (0..).zip(rated) {
            ratings.users.extend(rated.iter().map(|_| user));
            ratings.items.extend(rated);
        }
        ratings.values = vec![1.0; ratings.users.len()];
        ratings
    }

    proptest! {
        /// Never a rated pair, never one twice, and the right number of them.
        #[test]
        fn pairs_are_new(
            rated in prop::collection::vec(prop::collection::hash_set(0..40u32, 0..=40), 0..8),
            per_rating in 0..5usize,
            seed in any::<u64>(),
        ) {
            let rated: Vec<Vec<u32>> = rated.into_iter().map(|r| r.into_iter().collect()).collect();
            let ratings = ratings(40, &rated);
            let Negatives { users, items } = sample(&ratings, per_rating, seed);
            prop_assert_eq!(users.len(), count(&ratings, per_rating));
            let mut seen: HashSet<(u32, u32)> =
                ratings.users.iter().copied().zip(ratings.items.iter().copied()).collect();
            for (&user, &item) in users.iter().zip(&items) {
                prop_assert!(item < 40 && seen.insert((user, item)), "{user} {item}");
            }
            for (user, rated) in (0..).zip(&rated) {
                let found = users.iter().filter(|&&u| u == user).count();
                prop_assert_eq!(found, (rated.len() * per_rating).min(40 - rated.len()));
            }
        }
    }

    #[test]
    fn a_user_with_few_unrated_items_gets_them_all() {
        let rated = vec![(0..9).collect(), (0..10).collect(), vec![3]];
        let pairs = sample(&ratings(10, &rated), 1, 1);
        assert_eq!(pairs.users, [0, 2]);
        assert_eq!(pairs.items[0], 9);
        let all = sample(&ratings(10, &rated), 100, 1);
        assert_eq!(all.users.len(), 1 + 9);
        // 2,314 of 3,706 movies rated, as the busiest user of MovieLens 1M: 922 negatives fewer than ratings.
        assert_eq!(drawn(2314, 1, 3706), 2314 - 922);
    }

    /// 2,000 users with item 0 of 10 and two negatives each: every other item 444.4 times on average with a standard
    /// deviation of 18.6, whichever way of drawing is used.
    #[test]
    fn all_free_items_are_equally_likely() {
        for items in [10, 5] {
            let rated = vec![vec![0]; 2000];
            let pairs = sample(&ratings(items, &rated), 2, 3);
            let mut counts = vec![0; items];
            pairs.items.iter().for_each(|&item| counts[item as usize] += 1);
            let expected = 4000.0 / (items - 1) as f64;
            assert_eq!(counts[0], 0);
            for &count in &counts[1..] {
                assert!((f64::from(count) - expected).abs() < 100.0, "{counts:?}");
            }
        }
    }

    /// Recorded from this code, to notice a change of the stream.
    #[test]
    fn value_stability() {
        let rated = vec![vec![0, 1], vec![0, 2, 3, 4, 5, 6]];
        let pairs = sample(&ratings(10, &rated), 1, 1);
        assert_eq!(pairs.users, [0, 0, 1, 1, 1, 1]);
        assert_eq!(pairs.items, [3, 7, 8, 1, 9, 7]);
        assert_ne!(pairs, sample(&ratings(10, &rated), 1, 2));
    }
}
