//! What a study searches: its routers and the parameters of each.

use std::collections::BTreeMap;

use moe_nn::Models;
use serde_json::Value as Json;

use crate::config::Config;
use crate::config::assignments::Assignment;
use crate::config::search::{Suggestion, router_of};
use crate::error::Error;
use crate::study::axis::Axis;

/// The name of the parameter that says which router a trial is of.
pub(crate) const ROUTER: &str = "router";

/// The parameters of a trial by name, as numbers or words.
pub(crate) type Parameters = BTreeMap<String, Json>;

/// The configuration of a study, of which each trial is a variant.
#[derive(Clone, Debug)]
pub(crate) struct Space {
    config: Config,
    /// The choice among the routers.
    router: Suggestion,
}

impl Space {
    /// The space of a configuration with a section `[search]`.
    ///
    /// # Errors
    /// If nothing is searched, or a parameter is not a key of the configuration or has a value that is refused there.
    pub(crate) fn new(config: &Config, models: &Models) -> Result<Self, Error> {
        let space = Space::stored(config);
        if config.search.is_empty() {
            return Err(Error::Config(
                "the configuration has no [search]; add the keys to search, such as train.learning_rate = \
                 { suggest = \"float\", low = 1e-4, high = 1e-2, log = true }"
                    .into(),
            ));
        }
        for (name, suggestion) in &config.search.0 {
            // Parameters of routers that do not run are checked, too.
            match router_of(name) {
                Some(router) => space.check(router, name, suggestion, models)?,
                None => {
                    for router in &config.run.routers {
                        space.check(router, name, suggestion, models)?;
                    }
                }
            }
        }
        Ok(space)
    }

    /// The space of a configuration that was checked before.
    pub(crate) fn stored(config: &Config) -> Self {
        let choices = config.run.routers.iter().map(|id| id.as_str().into()).collect();
        Space { config: config.clone(), router: Suggestion::Categorical { choices } }
    }

    /// Tries the ends of a parameter, or all of its choices, for a router.
    fn check(
        &self,
        router: &str,
        name: &str,
        suggestion: &Suggestion,
        models: &Models,
    ) -> Result<(), Error> {
        let problem = match name.split('.').collect::<Vec<_>>()[..] {
            ["train", "task_weights"] => "losses with different weights cannot be compared",
            ["model" | "train" | "routers", _, ..] => "",
            _ => "only keys of model, train and routers can be searched",
        };
        if !problem.is_empty() {
            return Err(Error::Config(format!("search.{name} is not allowed; {problem}")));
        }
        let axis = Axis(suggestion);
        let points = match suggestion {
            Suggestion::Categorical { choices } => {
                (0..choices.len()).map(|choice| axis.point(choice as f64)).collect()
            }
            _ => axis.interval().to_vec(),
        };
        for point in points {
            let value = axis.distribution().to_external(axis.value(point));
            let one = Parameters::from([(name.to_owned(), value)]);
            let checked = self.trial(router, &one, 0).and_then(|config| {
                config.validate()?;
                let given = config.routers.get(router).cloned().unwrap_or_default();
                models.info(router)?.parameters(&given)?;
                Ok(())
            });
            checked.map_err(|error| Error::Config(format!("search.{name}: {error}")))?;
        }
        Ok(())
    }

    /// The configuration that the trials are variants of.
    pub(crate) fn config(&self) -> &Config {
        &self.config
    }

    /// The ids of the routers.
    pub(crate) fn routers(&self) -> &[String] {
        &self.config.run.routers
    }

    /// The parameters of the trials of a router, apart from the choice of the router.
    pub(crate) fn of_router(&self, router: &str) -> impl Iterator<Item = (&str, &Suggestion)> {
        let all = self.config.search.0.iter();
        all.map(|(name, suggestion)| (name.as_str(), suggestion))
            .filter(move |(name, _)| router_of(name).is_none_or(|id| id == router))
    }

    /// The parameter of this name in the trials of a router, with the choice of the router.
    pub(crate) fn suggestion(&self, router: &str, name: &str) -> Option<&Suggestion> {
        if name == ROUTER {
            return Some(&self.router);
        }
        self.of_router(router).find(|(own, _)| *own == name).map(|(_, suggestion)| suggestion)
    }

    /// The configuration of a trial: that of the router with these parameters and this seed. Parameters of other routers
    /// and the choice of the router are passed over.
    ///
    /// # Errors
    /// If a parameter is not a key of the configuration or has a value of the wrong type.
    pub(crate) fn trial(
        &self,
        router: &str,
        parameters: &Parameters,
        seed: u64,
    ) -> Result<Config, Error> {
        let mut config = self.config.for_router(router)?;
        (config.search, config.tune) = Default::default();
        config.run.routers = vec![router.to_owned()];
        (config.run.seeds, config.run.first_seed) = (1, seed);
        let own = parameters.iter().filter(|(name, _)| *name != ROUTER);
        let assignments = own.map(|(name, value)| assignment(name, value));
        let assignments = assignments.collect::<Result<Vec<_>, Error>>()?;
        config.with_all(&assignments)
    }
}

/// The assignment of a parameter's value, which is a word where it is a list.
///
/// # Errors
/// If the name is not a key.
pub(crate) fn assignment(name: &str, value: &Json) -> Result<Assignment, Error> {
    let word = value.as_str().map_or_else(|| value.to_string(), Into::into);
    Assignment::of_set(&format!("{name}={word}"))
}
