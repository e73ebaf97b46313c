//! `[per_router.ID]`: keys of `[model]` and `[train]` that have another value for one router, such as a learning rate that was
//! found by `moe tune`.

use toml::{Table, Value};

use crate::config::Config;
use crate::config::text::in_plain_words;
use crate::error::Error;

impl Config {
    /// The configuration of `router` alone: `[model]` and `[train]` as `[per_router.ID]` changes them, and no `[per_router]`.
    ///
    /// # Errors
    /// If a key there is unknown or has a value of the wrong type.
    pub(crate) fn for_router(&self, router: &str) -> Result<Config, Error> {
        let mut config = Config { per_router: Default::default(), ..self.clone() };
        for (section, keys) in self.per_router.get(router).into_iter().flatten() {
            let wrong = |problem: &str| {
                let problem = in_plain_words(problem);
                Error::Config(format!("per_router.{router}.{section}: {problem}"))
            };
            let Value::Table(keys) = keys else {
                return Err(wrong("invalid type: a value, expected a map"));
            };
            if keys.contains_key("task_weights") {
                return Err(wrong(
                    "task_weights is not allowed; the losses of routers with different weights cannot be compared",
                ));
            }
            match section.as_str() {
                "model" => config.model = changed(&config.model, keys).map_err(|e| wrong(&e))?,
                "train" => config.train = changed(&config.train, keys).map_err(|e| wrong(&e))?,
                _ => {
                    return Err(wrong(
                        "is not allowed; only the keys of model and train can differ between routers",
                    ));
                }
            }
        }
        Ok(config)
    }
}

/// A section with these keys changed.
fn changed<S: serde::Serialize + serde::de::DeserializeOwned>(
    section: &S,
    keys: &Table,
) -> Result<S, String> {
    let mut table = Table::try_from(section).map_err(|error| error.to_string())?;
    table.extend(keys.clone());
    S::deserialize(table).map_err(|error| error.message().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::assignments::Assignment;

    fn error(text: &str) -> String {
        let config: Config = toml::from_str(text).unwrap();
        config.validate().unwrap_err().to_string()
    }

    #[test]
    fn one_router_has_other_values() {
        let text = "[train]\nepochs = 7\n[per_router.comet.train]\nlearning_rate = 0.25\n\
                    [per_router.comet.model]\nexpert_dropout = 0.5\n";
        let config: Config = toml::from_str(text).unwrap();
        let own = config.for_router("comet").unwrap();
        assert_eq!((own.train.learning_rate, own.train.epochs), (0.25, 7));
        assert_eq!(own.model.expert_dropout, 0.5);
        assert!(own.per_router.is_empty());
        let other = config.for_router("top-k").unwrap();
        assert_eq!(other, Config { per_router: Default::default(), ..config.clone() });
        assert_eq!(Config::parse(&config.to_toml()).unwrap(), config);
    }

    #[test]
    fn a_key_that_is_set_holds_for_all_routers() {
        let text = "[per_router.comet.train]\nlearning_rate = 0.25\nepochs = 7\n\
                    [per_router.comet.model]\nk = 1\n[per_router.top-k.train]\nlearning_rate = 0.5\n";
        let config: Config = toml::from_str(text).unwrap();
        let set = |assignments: &str| {
            let assignments = assignments.split(' ');
            assignments.fold(config.clone(), |config, one| config.with(one).unwrap())
        };
        let rate = set("train.learning_rate=0.125");
        for router in ["comet", "top-k", "hash"] {
            assert_eq!(rate.for_router(router).unwrap().train.learning_rate, 0.125);
        }
        let own = rate.for_router("comet").unwrap();
        assert_eq!((own.train.epochs, own.model.k), (7, 1), "the other keys stay");
        assert!(!rate.per_router.contains_key("top-k"));
        // One that is set for a router is set for it.
        let both = config.with_all(&[
            Assignment::of_set("per_router.comet.train.learning_rate=0.5").unwrap(),
            Assignment::of_set("train.learning_rate=0.125").unwrap(),
        ]);
        let both = both.unwrap();
        assert_eq!(both.for_router("comet").unwrap().train.learning_rate, 0.5);
        assert_eq!(both.for_router("top-k").unwrap().train.learning_rate, 0.125);
        assert!(set("model.k=2 train.learning_rate=0.1 train.epochs=3").per_router.is_empty());
        assert_eq!(set("run.seeds=1").per_router, config.per_router);
    }

    #[test]
    fn wrong_keys_and_values_are_named() {
        for (text, says) in [
            ("[per_router.x.train]\nepocs = 7", "per_router.x.train: unknown field `epocs`"),
            ("[per_router.x.train]\nepocs = 7", "did you mean \"epochs\"?"),
            ("[per_router.x.model]\nk = 'a'", "per_router.x.model: invalid type: string \"a\""),
            ("[per_router.x.train]\nepochs = 0", "per_router.x: train.epochs = 0 is not allowed"),
            ("[per_router.x.dataset]\nseed = 7", "per_router.x.dataset: is not allowed; only"),
            ("[per_router.x]\ntrain = 7", "per_router.x.train: "),
            (
                "[per_router.x.train]\ntask_weights = [1.0]",
                "per_router.x.train: task_weights is not allowed; the losses",
            ),
        ] {
            assert!(error(text).contains(says), "{text}: {}", error(text));
        }
    }
}
