//! The formats of ratings, from small files made here: what is read, and what is refused.

mod common;

use std::collections::HashSet;
use std::fs;

use common::{all, check_splits, folder, gzip, rating_rows, same_data, uncached, watched};
use moe_core::batch::{BatchSource, Inputs, TaskKind};
use moe_data::{DataError, Dataset, LoadOptions, Unknown, load};

/// A format: id, folder, original file, what comes before the lines, and a line of user, item and rating.
struct Format {
    id: &'static str,
    folder: &'static str,
    file: &'static str,
    header: &'static str,
    line: fn(usize, usize, usize) -> String,
}

const FORMATS: [Format; 10] = [
    Format {
        id: "movielens-100k",
        folder: "ml-100k",
        file: "u.data",
        header: "",
        line: |user, item, rating| format!("{user}\t{item}\t{rating}\t881250949\n"),
    },
    Format {
        id: "movielens-1m",
        folder: "movielens-1m",
        file: "ratings.dat",
        header: "",
        line: colons,
    },
    Format {
        id: "movielens-10m",
        folder: "ml-10m",
        file: "ratings.dat",
        header: "",
        line: |user, item, rating| format!("{user}::{item}::{rating}.5::978300760\n"),
    },
    csv("movielens-latest-small", "ml-latest-small"),
    csv("movielens-20m", "ml-20m"),
    csv("movielens-25m", "ml-25m"),
    csv("movielens-32m", "ml-32m"),
    csv("movielens-csv", "movielens-csv"),
    Format {
        id: "book-crossing",
        folder: "book-crossing",
        file: "BX-Book-Ratings.csv",
        header: "\"User-ID\";\"ISBN\";\"Book-Rating\"\n",
        line: |user, item, rating| format!("\"{user}\";\"{item}\";\"{rating}\"\n"),
    },
    Format {
        id: "movietweetings",
        folder: "movietweetings",
        file: "ratings.dat",
        header: "",
        line: colons,
    },
];

fn colons(user: usize, item: usize, rating: usize) -> String {
    format!("{user}::{item}::{rating}::978300760\n")
}

const fn csv(id: &'static str, folder: &'static str) -> Format {
    Format {
        id,
        folder,
        file: "ratings.csv",
        header: "userId,movieId,rating,timestamp\n",
        line: |user, item, rating| format!("{user},{item},{rating}.0,964982703\n"),
    }
}

/// 24 users who rated 6 of 12 items each.
fn pairs() -> impl Iterator<Item = (usize, usize, usize)> {
    (0..144).map(|i| (i / 6 + 1, (i / 6 + 5 * (i % 6)) % 12 + 1, i % 4 + 1))
}

impl Format {
    fn text(&self) -> String {
        let lines = pairs().map(|(user, item, rating)| (self.line)(user, item, rating));
        self.header.to_owned() + &lines.collect::<String>()
    }

    /// [`Format::text`] with another line `line`, counted from 1 after the header.
    fn with_line(&self, line: usize, text: &str) -> String {
        let whole = self.text();
        let mut lines: Vec<&str> = whole.lines().collect();
        lines[line - 1 + self.header.lines().count()] = text;
        lines.join("\n") + "\n"
    }

    fn read_as(&self, name: &str, bytes: &[u8]) -> Result<Dataset, DataError> {
        let dir = folder(self.folder, &[(name, bytes)]);
        load(self.id, &uncached(dir.path()))
    }

    fn read(&self, bytes: &[u8]) -> Result<Dataset, DataError> {
        self.read_as(self.file, bytes)
    }

    #[track_caller]
    fn refuses(&self, bytes: &[u8], says: &[&str]) {
        let error = self.read(bytes).unwrap_err().to_string();
        for says in [&[self.file][..], says].concat() {
            assert!(error.contains(says), "{}: {says:?} is not in: {error}", self.id);
        }
    }
}

fn format(id: &str) -> &'static Format {
    FORMATS.iter().find(|format| format.id == id).unwrap()
}

#[test]
fn every_format_gives_its_ratings_with_their_names() {
    for format in &FORMATS {
        let data = format.read(format.text().as_bytes()).unwrap();
        assert_eq!(data.input.columns.iter().map(|c| c.vocabulary).collect::<Vec<_>>(), [24, 12]);
        let tasks = data.tasks.iter().map(|task| (task.name.as_str(), task.kind.clone()));
        let tasks: Vec<_> = tasks.collect();
        assert_eq!(tasks, [("watch", TaskKind::binary()), ("rating", TaskKind::regression())]);
        let half = if format.id == "movielens-10m" { 0.5 } else { 0.0 };
        let expected: Vec<_> = pairs()
            .map(|(user, item, rating)| (user.to_string(), item.to_string(), rating as f64 + half))
            .collect();
        assert_eq!(watched(&data), expected, "{}", format.id);
        check_splits(&data);
    }
}

#[test]
fn packed_files_windows_line_ends_and_marks_make_no_difference() {
    for format in &FORMATS {
        let plain = format.read(format.text().as_bytes()).unwrap();
        let windows = format.text().replace('\n', "\r\n");
        let no_end = format.text().trim_end().to_owned();
        let marked = "\u{feff}".to_owned() + &format.text();
        for text in [&windows, &no_end, &marked] {
            assert!(same_data(&plain, &format.read(text.as_bytes()).unwrap()), "{}", format.id);
        }
        let name = format!("{}.gz", format.file);
        let packed = format.read_as(&name, &gzip(format.text().as_bytes())).unwrap();
        assert!(same_data(&plain, &packed), "{}", format.id);
    }
}

#[test]
fn one_negative_a_rating_and_shares_in_proportion() {
    for format in &FORMATS {
        let data = format.read(format.text().as_bytes()).unwrap();
        let rows = rating_rows(&data);
        let pairs: HashSet<(u32, u32)> = rows.iter().map(|&(user, item, _)| (user, item)).collect();
        assert_eq!(pairs.len(), rows.len(), "no pair twice");
        for user in 0..24 {
            let rated =
                |is: bool| rows.iter().filter(|row| row.0 == user && row.2.is_some() == is).count();
            assert_eq!([rated(true), rated(false)], [6, 6]);
        }
        // ceil(288 / 10) for testing, ceil(259 / 8) of the rest for validation; half of each watched.
        let sizes = data.splits().map(|(_, split)| split.rows());
        assert_eq!(sizes, [226, 33, 29]);
        for ((_, split), watched) in data.splits().into_iter().zip([113, 16, 15]) {
            let found = split.row_ids().iter().filter(|&&row| row < 144).count();
            assert!(found.abs_diff(watched) <= 1, "{found} of {watched}");
        }
    }
}

#[test]
fn the_seed_decides_and_threads_do_not() {
    let format = format("movielens-100k");
    let dir = folder(format.folder, &[(format.file, format.text().as_bytes())]);
    let with = |seed| LoadOptions { seed, ..uncached(dir.path()) };
    let once = load(format.id, &with(1)).unwrap();
    for threads in [1, 2, 5] {
        let handles: Vec<_> = (0..threads)
            .map(|_| {
                let options = with(1);
                std::thread::spawn(move || load("movielens-100k", &options).unwrap())
            })
            .collect();
        assert!(handles.into_iter().all(|handle| same_data(&once, &handle.join().unwrap())));
    }
    let other = load(format.id, &with(2)).unwrap();
    assert_ne!(rating_rows(&once), rating_rows(&other));
    assert_eq!(watched(&once), watched(&other));
    assert_ne!(once.test.row_ids(), other.test.row_ids());
}

#[test]
fn options_change_negatives_shares_and_filter() {
    let format = format("movielens-latest-small");
    // User 25 has one rating, of an item that nobody else rated.
    let text = format.text() + "25,13,1.0,1\n";
    let dir = folder(format.folder, &[(format.file, text.as_bytes())]);
    let with = |change: fn(&mut LoadOptions)| {
        let mut options = uncached(dir.path());
        change(&mut options);
        load(format.id, &options)
    };
    let rows = |data: &Dataset| data.splits().map(|(_, split)| split.rows()).iter().sum::<usize>();
    assert_eq!(rows(&with(|_| {}).unwrap()), 290);
    assert_eq!(rows(&with(|o| o.negatives = Some(0)).unwrap()), 145);
    // Everybody has 13 items in all.
    assert_eq!(rows(&with(|o| o.negatives = Some(1000)).unwrap()), 25 * 13);
    let filtered = with(|o| o.min_ratings = Some(2)).unwrap();
    assert_eq!(filtered.vocabulary(0).unwrap().len(), 24);
    assert_eq!(filtered.vocabulary(1).unwrap().ids().get("13"), None);
    let shares = with(|o| (o.test_share, o.val_share) = (Some(0.5), Some(0.2))).unwrap();
    assert_eq!(shares.splits().map(|(_, split)| split.rows()), [116, 29, 145]);
    for (change, says) in [
        (with(|o| o.test_share = Some(1.5)), "test_share = 1.5"),
        (with(|o| o.val_share = Some(f64::NAN)), "val_share = NaN"),
        (with(|o| o.min_ratings = Some(100)), "the train split"),
        (with(|o| o.test_share = Some(0.0)), "test_share = 0 for the data set"),
        (with(|o| o.val_share = Some(1.0)), "allowed: above 0 and below 1"),
        (with(|o| o.user_column = Some("u".into())), "`user_column` does not apply"),
    ] {
        let error = change.unwrap_err().to_string();
        assert!(error.contains(says), "{error}");
    }
}

/// As a schema that is told to encode new rows does it, and only these names change.
#[test]
fn names_outside_the_train_split_can_share_an_id() {
    let format = format("movielens-latest-small");
    let dir = folder(format.folder, &[(format.file, format.text().as_bytes())]);
    let mut options = uncached(dir.path());
    (options.test_share, options.val_share) = (Some(0.8), Some(0.5));
    let refused = load(format.id, &options).unwrap();
    options.unknown = Some(Unknown::Shared);
    let shared = load(format.id, &options).unwrap();
    // The names are in the cache, whoever asks.
    options.cache = Some(true);
    assert!(same_data(&shared, &load(format.id, &options).unwrap()));
    let as_is = LoadOptions { unknown: None, ..options.clone() };
    assert!(same_data(&refused, &load(format.id, &as_is).unwrap()));

    let encoder = shared.schema().unwrap().encoder();
    let name = |column: usize, id: u32| refused.vocabulary(column).unwrap().name(id).unwrap();
    let mut unknown = 0;
    for ((_, was), (split, is)) in refused.splits().into_iter().zip(shared.splits()) {
        let (was, is) = (all(was), all(is));
        let old = common::ids(&was);
        let names = (0..was.rows()).map(|row| [0, 1].map(|column| name(column, old[column][row])));
        let names: Vec<[&str; 2]> = names.collect();
        assert_eq!(encoder.encode(&names).unwrap(), is.inputs);
        for (column, ids) in common::ids(&is).iter().enumerate() {
            let last = shared.vocabulary(column).unwrap().len() as u32;
            assert_eq!(shared.input.columns[column].vocabulary, last as usize + 1);
            let count = ids.iter().filter(|id| **id == last).count();
            assert!(split != "train" || count == 0);
            unknown += count;
        }
    }
    assert!(unknown > 0, "a name is in the other splits only");
    let new = encoder.encode(&[["nobody", "nothing"]]).unwrap();
    let vocabulary = |column| shared.vocabulary(column).unwrap().len() as u32;
    assert_eq!(new, Inputs::ids(vec![vec![vocabulary(0)], vec![vocabulary(1)]]));
    let error = refused.schema().unwrap().encoder().encode(&[["nobody", "1"]]).unwrap_err();
    assert!(error.to_string().contains("\"nobody\" is unknown"));
}

#[test]
fn what_is_wrong_in_a_line_is_named() {
    for (id, line, says) in [
        ("movielens-100k", "x\t1\t3\t1", "line 5, column 1 (user): \"x\" is not an id in range"),
        ("movielens-100k", "944\t1\t3\t1", "\"944\" is not an id in range; allowed: 1 to 943"),
        ("movielens-100k", "0\t1\t3\t1", "column 1 (user): \"0\""),
        ("movielens-100k", "1\t1683\t3\t1", "column 2 (movie): \"1683\""),
        ("movielens-100k", "1\t01\t3\t1", "column 2 (movie): \"01\""),
        ("movielens-100k", "1\t1\t6\t1", "column 3 (rating): \"6\" is not a number on the scale"),
        ("movielens-100k", "1\t1\t3.5\t1", "allowed: 1 to 5 in steps of 1"),
        ("movielens-100k", "1\t1\tNaN\t1", "column 3 (rating): \"NaN\""),
        ("movielens-100k", "1\t1\t3", "line 5: 3 fields; allowed: 4 fields"),
        ("movielens-100k", "1::1::3::1", "line 5: 1 fields"),
        ("movielens-1m", "6041::1::3::1", "column 1 (user): \"6041\"; allowed: 1 to 6040"),
        ("movielens-1m", "1::3953::3::1", "column 2 (movie): \"3953\""),
        ("movielens-1m", "1::2::inf::1", "column 3 (rating): \"inf\""),
        (
            "movielens-1m",
            "1:2:3:1",
            "line 5: 2 fields; allowed: 4 fields, user::movie::rating::time",
        ),
        ("movielens-1m", "\u{e9}::1::3::1", "column 1 (user)"),
        ("movielens-10m", "1::2::0.25::1", "allowed: 0.5 to 5 in steps of 0.5"),
        ("movielens-10m", "4294967296::2::1::1", "column 1 (user): \"4294967296\""),
        ("movielens-latest-small", "1,2,,1", "line 6, column 3 (rating): \"\""),
        ("movielens-latest-small", "1,,3,1", "line 6, column 2 (movieId): \"\""),
        ("movielens-latest-small", "1,2,3", "line 6: 3 fields; allowed: 4 fields"),
        ("movielens-csv", ",2,3,1", "line 6, column 1 (userId): \"\" is empty"),
        ("movielens-csv", "a,b,many,1", "line 6, column 3 (rating): \"many\""),
        ("movielens-csv", "a,b,NaN,1", "is not a number on the scale; allowed: -1e15 to 1e15"),
        ("movielens-csv", "a,b,1e38,1", "line 6, column 3 (rating): \"1e38\" is not a number on"),
        ("book-crossing", "\"1\";\"2\";\"11\"", "line 6, column 3 (Book-Rating): \"11\""),
        ("book-crossing", "\"1\";\"\";\"1\"", "line 6, column 2 (ISBN): \"\" is empty"),
        ("book-crossing", "\"u\";\"2\";\"1\"", "line 6, column 1 (User-ID): \"u\""),
        ("book-crossing", "\"1\",\"2\",\"1\"", "line 6: 1 fields"),
        ("movietweetings", "1::tt12::3::1", "column 2 (movie): \"tt12\" is not a number of IMDb"),
        ("movietweetings", "1::12::11::1", "column 3 (rating): \"11\""),
    ] {
        format(id).refuses(
            format(id).with_line(5, line).as_bytes(),
            &["line ", says.split("; ").next().unwrap(), says.split("; ").last().unwrap()],
        );
    }
}

#[test]
fn empty_cut_short_and_foreign_files_are_refused() {
    for format in &FORMATS {
        for empty in ["", "\n\r\n", format.header] {
            format.refuses(empty.as_bytes(), &["line 1", "the file holds no rows"]);
        }
        let lines = format.text()[format.header.len()..].repeat(50);
        let packed = gzip((format.header.to_owned() + &lines).as_bytes());
        let name = format!("{}.gz", format.file);
        for keep in [5, packed.len() / 2, packed.len() - 1] {
            let error = format.read_as(&name, &packed[..keep]).unwrap_err().to_string();
            assert!(error.contains(".gz, line ") && error.contains("cut short"), "{error}");
        }
        // A packed file by its name only.
        let error = format.read_as(&name, format.text().as_bytes()).unwrap_err().to_string();
        assert!(error.contains("cannot be read"), "{error}");
        // UTF-16, an image, nothing but a long line.
        let wide: Vec<u8> = format.text().encode_utf16().flat_map(u16::to_le_bytes).collect();
        format.refuses(&[&b"\xff\xfe"[..], &wide].concat(), &["line 1"]);
        format.refuses(b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", &["line 1"]);
        format.refuses(&vec![b'7'; 1 << 17], &["the line has more than 65536 bytes"]);
    }
}

#[test]
fn headers_are_checked() {
    format("movielens-latest-small").refuses(
        b"movieId,title,genres\n1,Toy Story (1995),Comedy\n",
        &[
            "line 1: no column \"userId\" in the header \"movieId,title,genres\"",
            "userId, movieId, rating",
        ],
    );
    format("book-crossing")
        .refuses(b"\"ISBN\";\"Book-Title\"\n", &["line 1", "3 fields, User-ID;ISBN;Book-Rating"]);
    format("book-crossing")
        .refuses(b"\"ISBN\";\"User-ID\";\"Book-Rating\"\n", &["line 1: not the header"]);
}

#[test]
fn a_pair_again_is_an_error_or_the_last_counts() {
    for format in &FORMATS {
        let again = format.text() + &(format.line)(1, 1, 4);
        let result = format.read(again.as_bytes());
        if ["movielens-csv", "book-crossing", "movietweetings"].contains(&format.id) {
            let watched = watched(&result.unwrap());
            assert_eq!(watched.len(), 144);
            assert_eq!(watched[143], ("1".into(), "1".into(), 4.0));
        } else {
            let error = result.unwrap_err().to_string();
            let line = 145 + format.header.lines().count();
            assert!(error.contains(&format!("{}, line {line}: ", format.file)), "{error}");
            assert!(error.contains("user \"1\" rates item \"1\", as in line"), "{error}");
        }
    }
}

#[test]
fn columns_of_a_table_are_named() {
    let text: String = pairs()
        .map(|(user, item, rating)| format!("{rating}e0;\"item, {item}\",\"ü{user}\",x\n"))
        .map(|line| line.replace(';', ","))
        .collect();
    let text = "stars,what,who,note\n".to_owned() + &text;
    let dir = folder("elsewhere", &[("mine.csv", text.as_bytes())]);
    let options = LoadOptions {
        ratings_file: Some(dir.path().join("elsewhere/mine.csv")),
        user_column: Some("who".into()),
        item_column: Some("what".into()),
        rating_column: Some("stars".into()),
        ..uncached(dir.path())
    };
    let data = load("movielens-csv", &options).unwrap();
    assert_eq!(watched(&data)[1], ("ü1".into(), "item, 6".into(), 2.0));
    // The model's columns have the names of the file's.
    assert_eq!(data.schema().unwrap().columns().collect::<Vec<_>>(), ["who", "what"]);
    let twice = LoadOptions { item_column: Some("who".into()), ..options.clone() };
    let error = load("movielens-csv", &twice).unwrap_err();
    let says = "item_column = who for the data set movielens-csv; allowed: another column than";
    assert!(error.is_configuration() && error.to_string().contains(says), "{error}");
    let wrong = LoadOptions { user_column: Some("whom".into()), ..options.clone() };
    let error = load("movielens-csv", &wrong).unwrap_err().to_string();
    assert!(error.contains("no column \"whom\""), "{error}");
    // A name that is not UTF-8.
    fs::write(dir.path().join("elsewhere/mine.csv"), text.replace('ü', "?").replace('?', "u"))
        .unwrap();
    let mut bytes = fs::read(dir.path().join("elsewhere/mine.csv")).unwrap();
    let at = bytes.iter().position(|&byte| byte == b'u').unwrap();
    bytes[at] = 0xfc;
    fs::write(dir.path().join("elsewhere/mine.csv"), bytes).unwrap();
    let error = load("movielens-csv", &options).unwrap_err().to_string();
    assert!(error.contains("line 2, column 3 (who)") && error.contains("is not UTF-8"), "{error}");
}

#[test]
fn books_are_read_without_a_rating_in_latin_1() {
    let text = format("book-crossing").text().replace(";\"12\";\"1\"", ";\"12\";\"0\"");
    let mut bytes = text.replace(";\"12\";", ";\"12?\\\"\";").into_bytes();
    bytes.iter_mut().filter(|byte| **byte == b'?').for_each(|byte| *byte = 0xe9);
    let data = format("book-crossing").read(&bytes).unwrap();
    let of_12: Vec<_> = watched(&data).into_iter().filter(|row| row.1 == "12é\"").collect();
    assert_eq!(of_12.len(), 12);
    let implicit = of_12.iter().filter(|row| row.2.is_nan()).count();
    assert!(implicit > 0 && implicit < 12, "{implicit}");
    assert_eq!(watched(&data).len(), 144, "implicit ones are read");
    // By default users and books need five records.
    let few = format("book-crossing").text() + "\"99\";\"1\";\"5\"\n\"1\";\"99\";\"5\"\n";
    let data = format("book-crossing").read(few.as_bytes()).unwrap();
    assert_eq!(watched(&data).len(), 144);
}

/// Ratings of 5 users: user u rates all jokes but the first 10 u.
fn jester() -> String {
    (0..5usize)
        .map(|user| {
            let rating = |joke: usize| match joke < 10 * user {
                true => "99".to_owned(),
                false => format!("{:.2}", joke as f64 * 0.15 - 7.5),
            };
            let fields: Vec<String> = (0..100).map(rating).collect();
            format!("{},{}\n", 100 - 10 * user, fields.join(","))
        })
        .collect()
}

#[test]
fn jester_has_a_line_a_user() {
    let read = |files: &[(&str, &[u8])]| load("jester", &uncached(folder("jester", files).path()));
    let text = jester();
    let data = read(&[("jester-data-1.csv", text.as_bytes())]).unwrap();
    let rows = watched(&data);
    assert_eq!(rows.len(), 100 + 90 + 80 + 70 + 60);
    assert_eq!((rows[100].0.as_str(), rows[100].1.as_str()), ("2", "11"));
    assert!(rows.iter().all(|row| (-7.5..=7.36).contains(&row.2)));
    // A user who has rated all has no negatives, one who has rated 60 has 40.
    let drawn =
        |user| rating_rows(&data).iter().filter(|row| row.0 == user && row.2.is_none()).count();
    assert_eq!([0, 1, 2, 3, 4].map(drawn), [0, 10, 20, 30, 40]);
    check_splits(&data);

    let three = read(&[
        ("jester-data-3.csv.gz", &gzip(text.as_bytes())),
        ("jester-data-1.csv", text.replace('\n', "\r\n").as_bytes()),
        ("jester-notes.csv", b"nothing"),
    ])
    .unwrap();
    assert_eq!(three.vocabulary(0).unwrap().len(), 10);
    assert_eq!(watched(&three)[400].0, "6");

    let wrong = |from: &str, to: &str| {
        let text = text.replacen(from, to, 1);
        read(&[("jester-data-1.csv", text.as_bytes())]).unwrap_err().to_string()
    };
    for (from, to, says) in [
        ("100,", "99,", "line 1, column 1 (ratings): \"99\" is not the number of rated jokes, 100"),
        ("100,", "101,", "line 1, column 1 (ratings): \"101\""),
        (
            "90,99,",
            "90,98,",
            "line 2, column 2 (1): \"98\" is not a rating; allowed: -10 to 10, or 99",
        ),
        ("90,99,", "90,NaN,", "line 2, column 2 (1): \"NaN\""),
        ("90,99,", "90,,", "line 2, column 2 (1): \"\""),
        ("90,99,", "90,", "line 2: 100 fields; allowed: 101 fields"),
        ("90,99,", "90,-10.01,", "\"-10.01\" is not a rating"),
    ] {
        let error = wrong(from, to);
        assert!(error.contains("jester-data-1.csv") && error.contains(says), "{error}");
    }
    let error = read(&[("jester-data-2.csv", b"")]).unwrap_err().to_string();
    assert!(error.contains("jester-data-2.csv, line 1: the file holds no rows"), "{error}");
}

#[test]
fn files_are_found_by_name_and_by_option() {
    let format = format("movielens-1m");
    let text = format.text();
    let data = format.read_as("ratings-rows-1-50.dat", text.as_bytes()).unwrap();
    assert_eq!(watched(&data).len(), 144);
    let several: &[(&str, &[u8])] =
        &[("ratings-b.dat", text.as_bytes()), ("ratings-a.dat.gz", b"x"), ("ratings.csv", b"x")];
    let dir = folder(format.folder, several);
    let error = load(format.id, &uncached(dir.path())).unwrap_err().to_string();
    assert!(error.contains("ratings-a.dat.gz, ratings-b.dat; choose with ratings_file"), "{error}");
    let named =
        |file: &str| LoadOptions { ratings_file: Some(file.into()), ..uncached(dir.path()) };
    assert!(same_data(&data, &load(format.id, &named("ratings-b.dat")).unwrap()));
    let path = dir.path().join(format.folder).join("ratings-b.dat");
    assert!(load(format.id, &named(path.to_str().unwrap())).is_ok());
    let error = load(format.id, &named("ratings-c.dat")).unwrap_err().to_string();
    assert!(error.contains("needs the file ratings-c.dat, which is not there"), "{error}");

    for format in &FORMATS {
        let empty = folder(format.folder, &[]);
        let found = load(format.id, &uncached(empty.path()));
        if format.id == "movietweetings" {
            assert_eq!(watched(&found.unwrap()).len(), 8000);
            continue;
        }
        let error = found.unwrap_err().to_string();
        for says in [format.folder, format.file, "Get it from", "data_dir", "MOE_DATA_DIR"] {
            assert!(error.contains(says), "{error}");
        }
    }
}
