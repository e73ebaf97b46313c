//! Sets of ratings through the command: every format runs, with the papers' set-ups, and leaves its files alone.

mod common;

use std::fs;

use common::{Place, SMOKE, check_refused, timeless};

/// Small enough for a moment.
const SMALL: [&str; 9] = [
    "--seeds=1",
    "--epochs=1",
    "--set=model.expert_width=4",
    "--set=model.embedding_width=3",
    "--set=model.head_widths=[4]",
    "--progress=none",
    "--threads=2",
    "--format=json",
    "--data-dir=data",
];

/// 24 users who rated 6 of 12 items each, as lines made of user, item and rating.
fn lines(line: fn(usize, usize, usize) -> String) -> String {
    (0..144).map(|i| line(i / 6 + 1, (i / 6 + 5 * (i % 6)) % 12 + 1, i % 4 + 1)).collect()
}

fn place() -> Place {
    let place = Place::new();
    let csv = |header: &str| header.to_owned() + &lines(|u, i, r| format!("{u},{i},{r}.0,1\r\n"));
    let colons = lines(|u, i, r| format!("{u}::{i}::{r}::1\n"));
    let books = lines(|u, i, r| format!("\"{u}\";\"{i}\";\"{}\"\n", r - 1));
    place.write("data/ml-100k/u.data", lines(|u, i, r| format!("{u}\t{i}\t{r}\t1\n")));
    place.write("data/movielens-1m/ratings-part.dat", &colons);
    place.write("data/ml-latest-small/ratings.csv", csv("userId,movieId,rating,timestamp\r\n"));
    place.write("data/mine.csv", csv("who,what,stars,when\r\n"));
    place.write(
        "data/book-crossing/BX-Book-Ratings.csv",
        "\"User-ID\";\"ISBN\";\"Book-Rating\"\n".to_owned() + &books,
    );
    let joke =
        |user: usize| format!("{}{}\n", user, ",1.5".repeat(user) + &",99".repeat(100 - user));
    place.write("data/jester/jester-data-1.csv", (20..40).map(joke).collect::<String>());
    place
}

#[test]
fn every_set_of_ratings_runs() {
    let place = place();
    let mine = "--set dataset.ratings_file=data/mine.csv --set dataset.user_column=who \
                --set dataset.item_column=what --set dataset.rating_column=stars";
    for (how, name, rows) in [
        ("--preset smoke --dataset movielens-100k", "movielens-100k", 288),
        ("--preset movielens --dataset movielens-1m", "movielens-1m", 288),
        ("--preset smoke --dataset movielens-latest-small", "movielens-latest-small", 288),
        (&format!("--preset smoke --dataset movielens-csv {mine}"), "movielens-csv", 288),
        ("--preset smoke --dataset movietweetings", "movietweetings", 16_000),
        ("--preset book-crossing", "book-crossing", 288),
        ("--preset jester", "jester", 2_000),
    ] {
        let how: Vec<&str> = how.split_whitespace().collect();
        let object = place.run(&[&["compare"], &how[..], &SMALL].concat()).succeeded().json();
        assert_eq!(object["dataset"]["name"], name);
        let found = object["dataset"]["rows"].as_object().unwrap().values();
        assert_eq!(found.map(|rows| rows.as_u64().unwrap()).sum::<u64>(), rows, "{name}");
        let tasks = object["dataset"]["tasks"].as_array().unwrap();
        let tasks: Vec<_> = tasks.iter().map(|task| task["name"].as_str().unwrap()).collect();
        assert_eq!(tasks, ["watch", "rating"]);
        for run in object["runs"].as_array().unwrap() {
            assert!(run["test"]["tasks"]["watch"]["loss"].as_f64().unwrap() > 0.0);
            assert!(run["test"]["tasks"]["rating"]["mse"].as_f64().unwrap() > 0.0);
        }
        // From what was kept, the same numbers.
        let again = place.run(&[&["compare"], &how[..], &SMALL].concat()).succeeded().json();
        assert_eq!(timeless(again["runs"].clone()), timeless(object["runs"].clone()), "{name}");
    }
    assert!(place.list("data/ml-100k").contains(&"movielens-100k.prepared".to_owned()));
    assert!(place.list("data/movietweetings").is_empty());
}

/// Permissions count also for those whom they do not bind.
#[cfg(unix)]
#[test]
fn a_read_only_folder_is_left_alone() {
    use std::os::unix::fs::PermissionsExt;
    let place = place();
    let set = |mode| {
        let permissions = fs::Permissions::from_mode(mode);
        fs::set_permissions(place.path("data/ml-100k"), permissions).unwrap();
    };
    set(0o555);
    let args = [&["compare", "--preset=smoke", "--dataset=movielens-100k"], &SMALL[..]].concat();
    let first = place.run(&args).succeeded().json();
    assert_eq!(place.list("data/ml-100k"), ["u.data"]);
    assert_eq!(place.list("cache/moe/prepared"), ["movielens-100k.prepared"]);
    let second = place.run(&args).succeeded().json();
    assert_eq!(timeless(first["runs"].clone()), timeless(second["runs"].clone()));

    fs::remove_dir_all(place.path("cache")).unwrap();
    place.run(&[&args[..], &["--set=dataset.cache=false"]].concat()).succeeded();
    assert!(place.list("cache").is_empty());
    place.run(&[&args[..], &["--set=dataset.cache_dir=kept"]].concat()).succeeded();
    assert_eq!(place.list("kept"), ["movielens-100k.prepared"]);
    // Without a place to write to, the run goes on.
    place.run(&[&args[..], &["--set=dataset.cache_dir=data/mine.csv"]].concat()).succeeded();
    set(0o755);
}

#[test]
fn what_is_wrong_is_said() {
    let place = place();
    place.write("data/ml-latest-small/ratings.csv", "userId,movieId,rating\n1,2,3.0\n1,3,3.7\n");
    check_refused(
        &place,
        &[&SMOKE[..], &["--data-dir", "data"]].concat(),
        &[
            (
                "--dataset movielens-latest-small",
                1,
                &["ratings.csv, line 3, column 3 (rating): \"3.7\"", "0.5 to 5 in steps of 0.5"],
            ),
            ("--dataset movielens-25m", 1, &["needs ratings.csv in data/ml-25m", "grouplens.org"]),
            (
                "--dataset movielens-100k --set dataset.test_share=2",
                2,
                &["test_share = 2 for the data set movielens-100k; allowed: above 0"],
            ),
            ("--set dataset.negatives=1", 2, &["`negatives` does not apply"]),
            ("--dataset jester --set dataset.negatvies=1", 2, &["did you mean \"negatives\"?"]),
            (
                "--dataset jester --set dataset.cache=1",
                2,
                &["dataset.cache=1", "expected true or false"],
            ),
        ],
    );
}
