//! Sets of ratings: where ratings come from (`source`, `rating_set`), how they become two tasks (`ratings`, `negatives`,
//! `prepared`), and the file that keeps them prepared (`cache`).

pub(crate) mod cache;
pub(crate) mod negatives;
pub(crate) mod prepared;
pub(crate) mod rating_set;
pub(crate) mod ratings;
pub(crate) mod source;
