use moe_routers::{Folded, Registry, RouterEntry};

use crate::options::SearchOptions;
use crate::searched::Searched;

/// Adds a router R+ for each router R of the registry: R with a permutation search around its gates. R+ has the
/// parameters of R and those of a search, which begin with `search-`. A limit to the rows of an expert counts rows
/// before a soft permutation mixes the experts; for gates that are sums of parts, afterwards. An id that is taken is
/// left as it is. R+ folds into R ([`RouterEntry::fold`]).
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
    let info = info.with_options(|options| SearchOptions::read(options, 1)).with_square_state();
    let searched = entry.wrapped(info, |gates, spec, parameters| {
        let options = parameters.options(|options| SearchOptions::read(options, spec.k));
        Box::new(Searched::new(gates, options, spec.seed))
    });
    searched.folded_by(move |k, given, parameters| {
        let is_plain = |name: &str| plain.parameters.iter().any(|spec| spec.name == name);
        let of_plain = given.iter().filter(|(name, _)| is_plain(name));
        Folded {
            router: plain.id.clone(),
            parameters: of_plain.map(|(name, value)| (name.clone(), value.clone())).collect(),
            share: parameters.options(|options| SearchOptions::read(options, k)).share,
            dropped: &Searched::DROPPED,
        }
    })
}
