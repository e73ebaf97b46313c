//! Looking up the rows of a table for a batch of ids, and the sparse gradient. Throughput in elements.

use benches::data::{ROWS, ids, rng, uniform};
use criterion::Criterion;

use crate::operator::bench_operator;

/// Sizes of the vocabulary: films and users of MovieLens 1M, and a table too large for the caches.
const VOCABULARIES: [usize; 3] = [3952, 6040, 200_000];
/// Width of an embedding (E).
const WIDTH: usize = 128;

pub(crate) fn bench(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("embedding");
    for vocabulary in VOCABULARIES {
        let mut rng = rng("embedding");
        let table = uniform([vocabulary, WIDTH], &mut rng);
        let ids = ids(vocabulary, ROWS, &mut rng);
        let parameters = format!("V{vocabulary}-E{WIDTH}-B{ROWS}");
        let numbers = (ROWS * WIDTH) as u64;
        bench_operator(&mut group, &parameters, [numbers; 2], &[table], |v| v[0].gather_rows(&ids));
    }
    group.finish();
}
