//! Whatever is done to a good file of ratings, packed or not: rows, or an error with a message; never a panic.

mod common;

use common::{check_splits, folder, gzip, uncached};
use moe_data::load;
use proptest::prelude::*;

/// Id, folder, file, the real beginning of such a file, and what goes between fields and around them.
const FORMATS: [(&str, &str, &str, &str, [&str; 2]); 6] = [
    ("movielens-100k", "ml-100k", "u.data", "", ["\t", ""]),
    ("movielens-1m", "movielens-1m", "ratings.dat", "", ["::", ""]),
    (
        "movielens-latest-small",
        "ml-latest-small",
        "ratings.csv",
        "userId,movieId,rating,timestamp\r\n",
        [",", ""],
    ),
    (
        "movielens-csv",
        "movielens-csv",
        "ratings.csv",
        "userId,movieId,rating,timestamp\n",
        [",", "\""],
    ),
    (
        "book-crossing",
        "book-crossing",
        "BX-Book-Ratings.csv",
        "\"User-ID\";\"ISBN\";\"Book-Rating\"\r\n",
        [";", "\""],
    ),
    ("movietweetings", "movietweetings", "ratings.dat", "", ["::", ""]),
];

fn good(format: usize) -> Vec<u8> {
    if format == FORMATS.len() {
        let line = |user: usize| {
            let rating =
                |joke| if joke % (user + 2) == 0 { "99".into() } else { format!("{user}.5") };
            let fields: Vec<String> = (0..100).map(rating).collect();
            let rated = fields.iter().filter(|field| *field != "99").count();
            format!("{rated},{}\n", fields.join(","))
        };
        return (0..4).map(line).collect::<String>().into_bytes();
    }
    let (id, _, _, header, [between, around]) = FORMATS[format];
    let line = |i: usize| {
        let fields = [i / 6 + 1, i % 12 + 1, i % 5 + 1, 978300760];
        let width = if id == "book-crossing" { 3 } else { 4 };
        let fields = fields[..width].iter().map(|field| format!("{around}{field}{around}"));
        fields.collect::<Vec<_>>().join(between) + "\n"
    };
    (header.to_owned() + &(0..36).map(line).collect::<String>()).into_bytes()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn a_changed_file_never_panics(
        format in 0..=FORMATS.len(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0..6u8), 0..5),
        in_header in any::<bool>(),
        packed in any::<bool>(),
        pack_after in any::<bool>(),
    ) {
        let mut bytes = good(format);
        let untouched = changes.is_empty();
        if packed && !pack_after {
            bytes = gzip(&bytes);
        }
        for (place, byte, kind) in changes {
            if bytes.is_empty() {
                break;
            }
            let place = place.index(if in_header { bytes.len().min(40) } else { bytes.len() });
            // Bytes that mean something are more likely to do harm.
            let byte = if kind > 3 { b"\"\\:;,\t\n\r\0-.Ne9"[usize::from(byte) % 14] } else { byte };
            match kind % 4 {
                0 => bytes[place] = byte,
                1 => bytes.insert(place, byte),
                2 => drop(bytes.remove(place)),
                _ => bytes.truncate(place),
            }
        }
        if packed && pack_after {
            bytes = gzip(&bytes);
        }
        let (id, folder_name, file) = match FORMATS.get(format) {
            Some(&(id, folder, file, ..)) => (id, folder, file),
            None => ("jester", "jester", "jester-data-1.csv"),
        };
        let name = if packed { format!("{file}.gz") } else { file.to_owned() };
        let dir = folder(folder_name, &[(&name, &bytes)]);
        let mut options = uncached(dir.path());
        options.min_ratings = Some(1);
        match load(id, &options) {
            Ok(data) => check_splits(&data),
            Err(error) => {
                prop_assert!(!untouched, "{}", error);
                prop_assert!(error.to_string().len() < 1000);
            }
        }
    }
}
