//! Real digits in eight domains, of which a model is not told: a set where routing is the point. A domain is a fixed
//! permutation of the 64 pixels, as in permuted MNIST (Goodfellow and others, "An empirical investigation of catastrophic
//! forgetting in gradient-based neural networks", 2013); the task is the digit.
//!
//! Every picture of `optdigits` occurs once in every domain, so domains differ in nothing but the order of pixels: they have
//! the same digits, in the same numbers. The splits are those of `optdigits` under the same seed, in each domain. A test
//! picture is therefore in no domain a training picture. Small experts learn one domain well and eight badly: with 8 experts
//! of width 16 and K = 1, the widths that the set is meant for, a gate that knows the domain of a row has about a quarter of the
//! test loss of one that sends rows at random, and less than half of that of a single expert (with K = 2, width 8).
//!
//! Pixel p of a row of domain d is pixel π_d(p) of its picture; π_d is the permutation of ChaCha8 under the seed, the purpose
//! `domain-optdigits` and d, also for domain 0: no domain has the original order. Row ids count through all pictures in
//! domain 0, then in domain 1, and so on, in the order of `optdigits`: picture i of domain d is row 5,620 d + i. The domain is
//! the planted group of a row ([`Split::groups`](crate::Split::groups)) and is not in its inputs. Pixels are divided by 16, to
//! numbers in [0, 1].

use moe_core::random;

use crate::catalog::entry::{Entry, Origin};
use crate::dataset::dataset::Dataset;
use crate::dataset::table::Table;
use crate::error::DataError;
use crate::options::LoadOptions;
use crate::pictures::pictures::{Pictures, table};
use crate::sets::optdigits;

const ID: &str = "domain-optdigits";
pub(crate) const ENTRY: Entry = Entry {
    id: ID,
    summary: "8x8 handwritten digits in 8 domains with permuted pixels, one task",
    origin: Origin::Embedded,
    terms: optdigits::TERMS,
    groups: Some("domain"),
    facts: &[("rows", 44_960.0)],
    load,
    ..Entry::NEW
};

/// Number of domains.
const DOMAINS: usize = 8;

fn load(options: &LoadOptions) -> Result<Dataset, DataError> {
    let Pictures { shape, brightest, pixels, labels, splits } = optdigits::pictures(options.seed)?;
    let (width, pictures) = (shape.iter().product(), labels.len());
    let mut permuted = Vec::with_capacity(DOMAINS * pixels.len());
    let mut domains = Vec::with_capacity(DOMAINS * pictures);
    for domain in 0..DOMAINS {
        let order = random::permutation(width, options.seed, ID, domain as u64);
        for picture in pixels.chunks_exact(width) {
            permuted.extend(order.iter().map(|&pixel| picture[pixel as usize]));
        }
        domains.extend(vec![domain as u32; pictures]);
    }
    let splits = splits.map(|rows| {
        let firsts = (0..DOMAINS).map(|domain| (domain * pictures) as u32);
        firsts.flat_map(|first| rows.iter().map(move |row| first + row)).collect()
    });
    let table = table(shape, brightest, permuted, [("digit", labels.repeat(DOMAINS))]);
    Dataset::new(ID, Table { groups: Some(domains), ..table }, splits)
}
