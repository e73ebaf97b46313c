use moe_routers::{Folded, Registry, RouterEntry};

use crate::options::SearchOptions;
use crate::searched::Searched;

/// The registry with one more router R+ for each of its routers R: R with a permutation search around its gates. R+ has
/// R's parameters and those of [`SearchOptions::declare`]. Where a limit to an expert's rows is on, it counts the rows of
/// the gates' experts before a soft permutation mixes them. An id that is taken is left as it is. R+ folds to R
/// ([`RouterEntry::fold`]).
///
/// ```
/// use moe_routers::Registry;
///
/// let routers = moe_search::with_search(Registry::standard());
/// let parameters = &routers.get("comet+").unwrap().info().parameters;
/// assert!(parameters.iter().any(|spec| spec.name == "gamma"));
/// assert!(parameters.iter().any(|spec| spec.name == "search-epochs"));
/// ```
pub fn with_search(mut registry: Registry) -> Registry {
    for entry in registry.entries().to_vec() {
        let id = format!("{}+", entry.info().id);
        if registry.get(&id).is_err() && !entry.info().id.ends_with('+') {
            registry.register(searched(entry, id)).expect("the id is free");
        }
    }
    registry
}

fn searched(entry: RouterEntry, id: String) -> RouterEntry {
    let plain = entry.info().clone();
    let mut info = plain.clone();
    info.summary = format!("{} with a permutation of its experts that is learnt first", info.id);
    info.citation = "Ibrahim and others: COMET, KDD 2023, permutation-based local search".into();
    info.id = id;
    let searched = entry.wrapped(SearchOptions::declare(info), |gates, spec, parameters| {
        Box::new(Searched::new(gates, SearchOptions::read(parameters, spec.k), spec.seed))
    });
    searched.folded_by(move |k, given, parameters| {
        let is_plain = |name: &str| plain.parameters.iter().any(|spec| spec.name == name);
        let of_plain = given.iter().filter(|(name, _)| is_plain(name));
        Folded {
            router: plain.id.clone(),
            parameters: of_plain.map(|(name, value)| (name.clone(), value.clone())).collect(),
            share: SearchOptions::read(parameters, k).share,
            dropped: &Searched::DROPPED,
        }
    })
}
