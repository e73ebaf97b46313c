//! The best parameters of a study as a configuration for `moe compare`.

use toml::{Table, Value};

use crate::config::Config;
use crate::config::assignments::Assignment;
use crate::error::Error;
use crate::study::space::assignment;
use crate::study::summary::StudySummary;

/// The configuration of the study with the best parameters of each router: those of the router itself in `[routers.ID]`, others
/// in `[per_router.ID]`. Routers without a complete trial are left out.
///
/// # Errors
/// If no router has a complete trial, or a parameter does not fit the configuration.
pub(crate) fn tuned(summary: &StudySummary) -> Result<Config, Error> {
    let mut config = summary.config.clone();
    (config.search, config.tune) = Default::default();
    config.run.routers.clear();
    let mut of_routers: Vec<Assignment> = Vec::new();
    for router in &summary.routers {
        let Some(best) = &router.best else { continue };
        config.run.routers.push(router.router.clone());
        for (name, value) in &best.parameters {
            let assignment = assignment(name, value)?;
            match name.split_once('.') {
                Some((section @ ("model" | "train"), key)) => {
                    let own = config.per_router.entry(router.router.clone()).or_default();
                    let keys = own.entry(section).or_insert_with(|| Value::Table(Table::new()));
                    let keys = keys.as_table_mut().ok_or_else(|| {
                        let place = format!("per_router.{}.{section}", router.router);
                        Error::Config(format!("{place} is not a table of keys"))
                    })?;
                    keys.insert(key.to_owned(), assignment.value().clone());
                }
                _ => of_routers.push(assignment),
            }
        }
    }
    if config.run.routers.is_empty() {
        let problem = "no trial of the study has ended by itself, so there are no best parameters";
        return Err(Error::out_dir(&summary.study, problem));
    }
    config.with_all(&of_routers)
}

/// The text of such a configuration, with a comment that says where it comes from.
pub(crate) fn text(summary: &StudySummary) -> Result<String, Error> {
    let config = tuned(summary)?;
    let trials = config.run.routers.iter().filter_map(|id| {
        let of = summary.routers.iter().find(|of| of.router == *id)?;
        let best = of.best.as_ref()?;
        let tried = of.complete + of.pruned + of.failed;
        Some(format!(
            "#   {id}: trial {}, the best of {tried} by a validation loss of {:.4}; {} epochs in all\n",
            best.number, best.val_loss, of.epochs
        ))
    });
    Ok(format!(
        "# The best parameters of each router by validation loss, written by moe tune {} --write-best.\n{}\n{}",
        summary.study,
        trials.collect::<String>(),
        config.to_toml()
    ))
}
