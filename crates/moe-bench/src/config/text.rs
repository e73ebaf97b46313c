//! Configurations as text: presets and files, with errors in a user's words.

use std::fs;
use std::path::Path;

use moe_core::{did_you_mean, nearest_name};

use crate::config::Config;
use crate::error::Error;

/// The presets, each with a configuration for every data set that it is about.
const PRESETS: [(&str, &[&str]); 5] = [
    ("smoke", &[include_str!("../../presets/smoke.toml")]),
    (
        "quick",
        &[
            include_str!("../../presets/quick.toml"),
            include_str!("../../presets/quick-domains.toml"),
        ],
    ),
    ("movielens", &[include_str!("../../presets/movielens.toml")]),
    ("jester", &[include_str!("../../presets/jester.toml")]),
    ("book-crossing", &[include_str!("../../presets/book-crossing.toml")]),
];

/// The longest line of a file that an error repeats.
const LONGEST_EXCERPT: usize = 200;

impl Config {
    /// A built-in configuration: `smoke`, `quick`, `movielens`, `jester` or `book-crossing`. Of `quick`, which is about two data
    /// sets, it is that of `multi-optdigits`.
    ///
    /// # Errors
    /// If there is no such preset.
    pub fn preset(name: &str) -> Result<Self, Error> {
        Ok(Self::presets(name)?.swap_remove(0))
    }

    /// The built-in configurations of this name, one or more: `quick` has one for `multi-optdigits` and one for
    /// `domain-optdigits`.
    ///
    /// # Errors
    /// If there is no such preset.
    pub fn presets(name: &str) -> Result<Vec<Self>, Error> {
        let names = || PRESETS.iter().map(|(name, _)| *name);
        let Some((_, texts)) = PRESETS.iter().find(|(preset, _)| *preset == name) else {
            let nearest = nearest_name(name, names());
            return Err(Error::Config(format!(
                "unknown preset \"{name}\"{}; known presets: {}",
                did_you_mean(", ", nearest, ""),
                names().collect::<Vec<_>>().join(", ")
            )));
        };
        let wrong = |problem| Error::Config(format!("preset {name}: {problem}"));
        texts.iter().map(|text| Self::parse(text).map_err(wrong)).collect()
    }

    /// Reads a configuration from a TOML file; missing keys have their defaults.
    ///
    /// # Errors
    /// If the file cannot be read, is not TOML, or has an unknown key or a value of the wrong type. The error names the
    /// line and the column.
    pub fn read(path: &Path) -> Result<Self, Error> {
        let bytes = fs::read(path).map_err(|error| format!("cannot be read: {error}"));
        let config = bytes.and_then(|bytes| match str::from_utf8(&bytes) {
            Ok(text) => Self::parse(text),
            Err(error) => Err(not_text(&bytes[..error.valid_up_to()])),
        });
        config.map_err(|problem| Error::Config(format!("{}: {problem}", path.display())))
    }

    /// Parses the text of a TOML file. The error is a message with line and column.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        toml::from_str(text).map_err(|error| {
            // The whole error is the place, an excerpt and the message.
            let whole = error.to_string();
            let whole = whole.trim_end();
            let place = whole.strip_suffix(error.message()).unwrap_or_default();
            let is_long = place.lines().any(|line| line.len() > LONGEST_EXCERPT);
            let excerpt = if is_long { place.split_inclusive('\n').next() } else { Some(place) };
            format!("{}{}", excerpt.unwrap_or_default(), in_plain_words(error.message()))
        })
    }

    /// The configuration that a run was saved with, or what is wrong with it.
    pub(crate) fn parse_saved(text: &str) -> Result<Self, String> {
        Self::parse(&without_removed_keys(text))
    }

    /// The configuration as a TOML file.
    ///
    /// # Panics
    /// If TOML cannot hold a value; [`Config::validate`] refuses such values.
    pub fn to_toml(&self) -> String {
        toml::to_string(self).expect("a valid configuration is a TOML table")
    }
}

/// The configuration of a saved run without the keys that earlier versions had and that did not change a result.
fn without_removed_keys(saved: &str) -> String {
    let mut in_train = false;
    let is_kept = |line: &&str| {
        if line.starts_with('[') {
            in_train = line.trim_end() == "[train]";
        }
        // Whether a thread of its own made the batches.
        !in_train || !line.starts_with("prefetch = ")
    };
    saved.split_inclusive('\n').filter(is_kept).collect()
}

/// The message for a file whose longest valid UTF-8 prefix is `good`.
fn not_text(good: &[u8]) -> String {
    let line = 1 + good.iter().filter(|&&byte| byte == b'\n').count();
    let before = good.rsplit(|&byte| byte == b'\n').next().unwrap_or_default();
    let column = 1 + String::from_utf8_lossy(before).chars().count();
    format!("line {line}, column {column}: not UTF-8; a configuration is a TOML file in UTF-8")
}

/// A message of serde without names of Rust types and with the nearest known key.
pub(crate) fn in_plain_words(message: &str) -> String {
    const VALUE: &str = "data did not match any variant of untagged enum Value";
    if message == VALUE {
        return "expected true or false, a number or a word".into();
    }
    if let Some((found, expected)) = message.rsplit_once(", expected ") {
        let plain = match expected {
            "usize" | "u64" => "a whole number, 0 or more",
            "f64" => "a number",
            "a boolean" => "true or false",
            "a sequence" => "a list in brackets",
            "a map" => "a table of keys",
            name if name.starts_with("struct ") => "a table of keys",
            _ => return format!("{message}{}", suggestion(message)),
        };
        return format!("{found}, expected {plain}");
    }
    format!("{message}{}", suggestion(message))
}

/// The nearest of the names in a message such as "unknown field `x`, expected one of `y`, `z`"; empty for others.
fn suggestion(message: &str) -> String {
    const OF_A_TABLE: &str = "`ids`, `unknown`, `min_count`, `numbers`";
    let mut words = message.split('`').skip(1).step_by(2);
    let is_unknown = message.contains("unknown field") || message.contains("unknown variant");
    let nearest = words.next().filter(|_| is_unknown).and_then(|name| nearest_name(name, words));
    if nearest.is_none() && is_unknown && message.contains(OF_A_TABLE) {
        return "; columns are named in `numbers`, `categories` and `ids`, and those to predict in `targets`".into();
    }
    did_you_mean(", ", nearest, "")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(result: Result<Config, Error>) -> String {
        result.unwrap_err().to_string()
    }

    #[test]
    fn a_saved_configuration_may_have_a_key_that_was_removed() {
        let text = Config::default().to_toml();
        let saved = text.replace("[train]\n", "[train]\nprefetch = true\n");
        assert_ne!(saved, text);
        assert_eq!(without_removed_keys(&saved), text);
        assert_eq!(Config::parse_saved(&saved), Ok(Config::default()));
        // In a configuration to run it is an unknown key.
        assert!(Config::parse(&saved).unwrap_err().contains("prefetch"));
        let other = "[routers.mine]\nprefetch = true\n";
        assert_eq!(without_removed_keys(other), other);
    }

    #[test]
    fn presets_are_valid_and_complete_themselves() {
        for (name, _) in PRESETS {
            for config in Config::presets(name).unwrap() {
                config.validate().unwrap();
                assert_eq!(Config::parse(&config.to_toml()).unwrap(), config);
            }
        }
        let unknown = message(Config::preset("quik"));
        assert!(unknown.contains("did you mean \"quick\"?"), "{unknown}");
    }

    /// The parameters of the preset `quick` are those that the studies of the workspace have found.
    #[test]
    fn the_default_comparison_is_tuned() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../configs/tuned");
        if !root.is_dir() {
            return;
        }
        for (config, file) in Config::presets("quick")
            .unwrap()
            .into_iter()
            .zip(["multi-optdigits.toml", "domain-optdigits-k1.toml"])
        {
            let tuned = Config::read(&root.join(file)).unwrap();
            for router in &config.run.routers {
                let [own, best] =
                    [&config, &tuned].map(|config| config.for_router(router).unwrap());
                assert_eq!((&own.model, &own.train), (&best.model, &best.train), "{router}");
                assert_eq!(own.routers.get(router), best.routers.get(router), "{router}");
            }
        }
    }

    #[test]
    fn unknown_keys_name_the_place_and_the_nearest() {
        for (text, place, nearest) in [
            ("[train]\nepocs = 3\n", "line 2, column 1", "epochs"),
            ("[dataset]\nseed = 1\n  nmae = \"x\"\n", "line 3, column 3", "name"),
            ("[dataset]\nsead = 1\n", "line 2, column 1", "seed"),
            ("\n[modl]\nk = 1\n", "line 2, column 2", "model"),
            ("run.baselin = \"x\"", "line 1, column 5", "baseline"),
        ] {
            let error = Config::parse(text).unwrap_err();
            assert!(error.contains(place), "{text}: {error}");
            assert!(error.contains(&format!("did you mean \"{nearest}\"?")), "{text}: {error}");
        }
    }

    /// Keys of a table of one's own that are wrong are answered with those that there are.
    #[test]
    fn keys_of_a_table_are_explained() {
        let table = "[dataset.table]\nfile = \"d.csv\"\n";
        for (line, says) in [
            ("columns = [\"age\"]", "columns are named in `numbers`, `categories` and `ids`"),
            ("number = [\"age\"]", "did you mean \"numbers\"?"),
            (
                "targets = [\"churned\"]",
                "expected a table such as { column = \"churned\", kind = \"binary\" }",
            ),
            ("targets = [\"churned\"]", "positive, the text that means yes"),
            (
                "targets = [{ column = \"churned\" }]",
                "the target \"churned\" has no kind; allowed: kind = \"binary\", \"multiclass\" or \"regression\"",
            ),
            (
                "targets = [{ column = \"a\", kind = \"yesno\" }]",
                "`binary`, `multiclass`, `regression`",
            ),
            (
                "targets = [{ column = \"a\", kind = \"regression\", positive = \"1\" }]",
                "has the key positive; allowed: only with kind = \"binary\"",
            ),
            ("targets = [{ column = \"a\", kin = \"binary\" }]", "did you mean \"kind\"?"),
            ("separator = \"|\"", "expected one of `comma`, `semicolon`, `tab`"),
            ("missing = \"NA\"", "expected a list in brackets"),
        ] {
            let error = Config::parse(&format!("{table}{line}\n")).unwrap_err();
            assert!(error.contains("line 3") && error.contains(says), "{line}: {error}");
            assert!(!error.contains("\"scaling\"?"), "{error}");
        }
        let missing = Config::parse(table).unwrap_err();
        assert!(missing.contains("missing field `targets`"), "{missing}");
        assert!(Config::parse("[dataset]\ndata_dir = 5\n").unwrap_err().contains("line 2"));
    }

    #[test]
    fn values_of_a_wrong_type_name_the_place_and_what_is_expected() {
        for (text, place, expected) in [
            ("[train]\nepochs = \"many\"\n", "line 2, column 10", "expected a whole number"),
            ("[dataset]\nseed = -1\n", "line 2, column 8", "expected a whole number, 0 or more"),
            ("[dataset]\n\nname = 3\n", "line 3, column 8", "expected a string"),
            ("dataset = 3\n", "line 1, column 11", "expected a table of keys"),
            ("[train]\nbeta1 = true\n", "line 2, column 9", "expected a number"),
            ("[run]\nrouters = 'x'\n", "line 2, column 11", "expected a list in brackets"),
            ("[routers]\nx = 1\n", "line 2, column 5", "expected a table of keys"),
            ("[routers.x]\ny = []\n", "line 2, column 5", "expected true or false, a number"),
        ] {
            let error = Config::parse(text).unwrap_err();
            assert!(error.contains(place), "{text}: {error}");
            assert!(error.contains(expected), "{text}: {error}");
        }
    }

    #[test]
    fn the_place_of_invalid_utf8_is_named() {
        assert!(not_text(b"").starts_with("line 1, column 1:"));
        assert!(not_text("a\nbä".as_bytes()).starts_with("line 2, column 3:"));
    }
}
