//! Where the files of data sets come from, and what is known of them.

/// What is known of a set beyond how it is read.
#[derive(Debug)]
pub(crate) struct Provenance {
    pub(crate) downloads: &'static [Download<'static>],
    /// Whether its terms are to be accepted before it is fetched.
    #[cfg_attr(not(feature = "download"), expect(dead_code, reason = "only fetching asks"))]
    pub(crate) must_accept: bool,
    /// Files of the original distribution and the SHA-256 of their (unpacked) content.
    pub(crate) known: &'static [(&'static str, &'static str)],
    /// Numbers of the whole original, named as in [`Stats::measures`](crate::Stats::measures).
    pub(crate) facts: &'static [(&'static str, f64)],
}

/// A file that can be fetched.
#[derive(Clone, Copy, Debug)]
pub struct Download<'a> {
    /// Where it is.
    pub url: &'a str,
    /// Its SHA-256; `None` if it changes from time to time.
    pub sha256: Option<&'a str>,
    /// Name of the file that it becomes in the folder of the set.
    pub file: &'a str,
    /// For a zip archive: which of its files that is.
    pub member: Option<&'a str>,
}

const NOTHING: Provenance =
    Provenance { downloads: &[], must_accept: false, known: &[], facts: &[] };

/// A zip archive of GroupLens.
macro_rules! movielens {
    ($zip:literal, $sha256:expr, $member:literal, $file:literal) => {
        &[Download {
            url: concat!("https://files.grouplens.org/datasets/movielens/", $zip),
            sha256: $sha256,
            file: $file,
            member: Some($member),
        }]
    };
}

/// The four files of a set in the layout of MNIST.
macro_rules! idx {
    ($site:literal, $($part:literal $kind:literal $sha256:literal),*) => {
        &[$(Download {
            url: concat!($site, $part, "-", $kind, "-ubyte.gz"),
            sha256: Some($sha256),
            file: concat!($part, "-", $kind, "-ubyte.gz"),
            member: None,
        }),*]
    };
}

const MNIST: &[Download<'static>] = idx!(
    "https://ossci-datasets.s3.amazonaws.com/mnist/",
    "train" "images-idx3" "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
    "train" "labels-idx1" "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
    "t10k" "images-idx3" "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
    "t10k" "labels-idx1" "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6"
);
const FASHION: &[Download<'static>] = idx!(
    "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
    "train" "images-idx3" "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
    "train" "labels-idx1" "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
    "t10k" "images-idx3" "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
    "t10k" "labels-idx1" "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5"
);
const MNIST_KNOWN: &[(&str, &str)] = &[
    ("t10k-images-idx3-ubyte", "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7"),
    ("t10k-labels-idx1-ubyte", "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2"),
];
const FASHION_KNOWN: &[(&str, &str)] = &[
    ("t10k-images-idx3-ubyte", "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b"),
    ("t10k-labels-idx1-ubyte", "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34"),
];

const SVHN: &[Download<'static>] = &[
    Download {
        url: "http://ufldl.stanford.edu/housenumbers/train_32x32.mat",
        sha256: Some(SVHN_KNOWN[0].1),
        file: "train_32x32.mat",
        member: None,
    },
    Download {
        url: "http://ufldl.stanford.edu/housenumbers/test_32x32.mat",
        sha256: Some(SVHN_KNOWN[1].1),
        file: "test_32x32.mat",
        member: None,
    },
];
const SVHN_KNOWN: &[(&str, &str)] = &[
    ("train_32x32.mat", "435e94d69a87fde4fd4d7f3dd208dfc32cb6ae8af2240d066de1df7508d083b8"),
    ("test_32x32.mat", "cdce80dfb2a2c4c6160906d0bd7c68ec5a99d7ca4831afa54f09182025b6a75b"),
    ("extra_32x32.mat", "a133a4beb38a00fcdda90c9489e0c04f900b660ce8a316a5e854838379a71eb3"),
];

/// What is known of the set with this id.
pub(crate) fn of(id: &str) -> Provenance {
    match id {
        "optdigits" => Provenance { facts: &[("rows", 5620.0)], ..NOTHING },
        "restaurant" => Provenance {
            facts: &[
                ("rows", 1161.0),
                ("ids.user", 138.0),
                ("ids.place", 130.0),
                ("rating.0", 254.0),
                ("rating.1", 421.0),
                ("rating.2", 486.0),
                ("food_rating.0", 266.0),
                ("service_rating.0", 315.0),
            ],
            ..NOTHING
        },
        "movielens-1m-mtl" => Provenance {
            facts: &[
                ("rows", 1_999_496.0),
                ("watch.1", 1_000_209.0),
                ("ids.user", 6040.0),
                ("ids.movie", 3706.0),
            ],
            ..NOTHING
        },
        "movielens-100k" => Provenance {
            downloads: movielens!(
                "ml-100k.zip",
                Some("50d2a982c66986937beb9ffb3aa76efe955bf3d5c6b761f4e3a7cd717c6a3229"),
                "ml-100k/u.data",
                "u.data"
            ),
            must_accept: true,
            known: &[(
                "u.data",
                "06416e597f82b7342361e41163890c81036900f418ad91315590814211dca490",
            )],
            facts: &[
                ("rating.rows", 100_000.0),
                ("ids.user", 943.0),
                ("ids.movie", 1682.0),
                ("rating.mean", 3.52986),
                ("rating.1", 6110.0),
                ("rating.2", 11_370.0),
                ("rating.3", 27_145.0),
                ("rating.4", 34_174.0),
                ("rating.5", 21_201.0),
            ],
        },
        "movielens-latest-small" => Provenance {
            downloads: movielens!(
                "ml-latest-small.zip",
                Some("696d65a3dfceac7c45750ad32df2c259311949efec81f0f144fdfb91ebc9e436"),
                "ml-latest-small/ratings.csv",
                "ratings.csv"
            ),
            must_accept: true,
            known: &[(
                "ratings.csv",
                "aa289ca83157595d0df6aea1be6a4ded676ddc4385472e8313a8ed9805352646",
            )],
            facts: &[
                ("rating.rows", 100_836.0),
                ("ids.user", 610.0),
                ("ids.movie", 9724.0),
                ("rating.mean", 3.50156),
            ],
        },
        "movielens-1m" => Provenance {
            downloads: movielens!(
                "ml-1m.zip",
                Some("a6898adb50b9ca05aa231689da44c217cb524e7ebd39d264c56e2832f2c54e20"),
                "ml-1m/ratings.dat",
                "ratings.dat"
            ),
            must_accept: true,
            known: &[(
                "ratings.dat",
                "506d64ca44484487c11dc2d9a28de5c54948213e6b96285e298afe28d6ea4e0f",
            )],
            facts: &[("rating.rows", 1_000_209.0), ("ids.user", 6040.0), ("ids.movie", 3706.0)],
        },
        "movielens-10m" => Provenance {
            downloads: movielens!("ml-10m.zip", None, "ml-10M100K/ratings.dat", "ratings.dat"),
            must_accept: true,
            facts: &[
                ("rating.rows", 10_000_054.0),
                ("ids.user", 69_878.0),
                ("ids.movie", 10_677.0),
            ],
            ..NOTHING
        },
        "movielens-20m" => Provenance {
            downloads: movielens!(
                "ml-20m.zip",
                Some("96f243c338a8665f6bcc89c53edf6ee39162a846940de6b7c8c48aeada765ff3"),
                "ml-20m/ratings.csv",
                "ratings.csv"
            ),
            must_accept: true,
            facts: &[("rating.rows", 20_000_263.0), ("ids.user", 138_493.0)],
            ..NOTHING
        },
        "movielens-25m" => Provenance {
            downloads: movielens!(
                "ml-25m.zip",
                Some("8b21cfb7eb1706b4ec0aac894368d90acf26ebdfb6aced3ebd4ad5bd1eb9c6aa"),
                "ml-25m/ratings.csv",
                "ratings.csv"
            ),
            must_accept: true,
            facts: &[("rating.rows", 25_000_095.0), ("ids.user", 162_541.0)],
            ..NOTHING
        },
        "movielens-32m" => Provenance {
            downloads: movielens!("ml-32m.zip", None, "ml-32m/ratings.csv", "ratings.csv"),
            must_accept: true,
            facts: &[("rating.rows", 32_000_204.0), ("ids.user", 200_948.0)],
            ..NOTHING
        },
        "movietweetings" => Provenance {
            downloads: &[Download {
                url: "https://raw.githubusercontent.com/sidooms/MovieTweetings/master/latest/ratings.dat",
                sha256: None,
                file: "ratings.dat",
                member: None,
            }],
            ..NOTHING
        },
        "jester" => Provenance { facts: &[("ids.joke", 100.0)], ..NOTHING },
        "book-crossing" => Provenance {
            downloads: &[Download {
                url: "http://www2.informatik.uni-freiburg.de/~cziegler/BX/BX-CSV-Dump.zip",
                sha256: None,
                file: "BX-Book-Ratings.csv",
                member: Some("BX-Book-Ratings.csv"),
            }],
            must_accept: true,
            ..NOTHING
        },
        "mnist" => Provenance {
            downloads: MNIST,
            known: MNIST_KNOWN,
            facts: &[("rows", 70_000.0), ("digit.0", 6903.0), ("digit.1", 7877.0)],
            ..NOTHING
        },
        "multi-mnist" => Provenance { downloads: MNIST, known: MNIST_KNOWN, ..NOTHING },
        "fashion-mnist" => Provenance {
            downloads: FASHION,
            known: FASHION_KNOWN,
            facts: &[("rows", 70_000.0), ("article.0", 7000.0), ("article.9", 7000.0)],
            ..NOTHING
        },
        "multi-fashion-mnist" => Provenance { downloads: FASHION, known: FASHION_KNOWN, ..NOTHING },
        "usps" => Provenance {
            known: &[(
                "USPS.mat",
                "9f09eec7eba5872888b3e78373595cd7fd97d32e28b996be8c65eab068c874f2",
            )],
            facts: &[("rows", 11_000.0), ("digit.0", 1100.0), ("digit.9", 1100.0)],
            ..NOTHING
        },
        "svhn" => Provenance {
            downloads: SVHN,
            must_accept: true,
            known: SVHN_KNOWN,
            facts: &[("rows", 99_289.0)],
        },
        _ => NOTHING,
    }
}
