use crate::registry::entry::RouterEntry;
use crate::registry::error::RegistryError;
use crate::routers;

/// The routers that a program knows, by id. It is a value: a program builds it, adds entries and passes it down.
#[derive(Clone, Debug)]
pub struct Registry {
    entries: Vec<RouterEntry>,
}

impl Registry {
    /// The routers of this crate.
    pub fn standard() -> Self {
        Registry { entries: routers::entries() }
    }

    /// Adds a router.
    ///
    /// # Errors
    /// If its id is taken.
    pub fn register(&mut self, entry: RouterEntry) -> Result<(), RegistryError> {
        let id = &entry.info().id;
        if self.ids().any(|known| known == id) {
            return Err(RegistryError::Taken { id: id.clone() });
        }
        self.entries.push(entry);
        Ok(())
    }

    /// The router with this id.
    ///
    /// # Errors
    /// If there is none; the error names the nearest id and all others.
    pub fn get(&self, id: &str) -> Result<&RouterEntry, RegistryError> {
        self.entries.iter().find(|entry| entry.info().id == id).ok_or_else(|| {
            RegistryError::UnknownRouter {
                id: id.into(),
                nearest: moe_core::nearest_name(id, self.ids()).map(Into::into),
                known: self.ids().map(Into::into).collect(),
            }
        })
    }

    /// All routers, in the order in which they were added.
    pub fn entries(&self) -> &[RouterEntry] {
        &self.entries
    }

    fn ids(&self) -> impl Iterator<Item = &str> {
        self.entries.iter().map(|entry| entry.info().id.as_str())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::registry::info::GateSpec;
    use crate::registry::parameters::Value;
    use crate::routers::top_k::TopK;

    const SPEC: GateSpec = GateSpec { inputs: 3, experts: 4, k: 2, seed: 1, gate: 0 };

    fn given(key: &str, value: Value) -> BTreeMap<String, Value> {
        BTreeMap::from([(key.to_string(), value)])
    }

    fn refused(spec: &GateSpec, given: &BTreeMap<String, Value>) -> String {
        let registry = Registry::standard();
        registry.get("top-k").unwrap().info().check(spec, given).unwrap_err().to_string()
    }

    #[test]
    fn errors_say_what_is_wrong_and_what_is_allowed() {
        let unknown = Registry::standard().get("topk").unwrap_err().to_string();
        let start =
            "unknown router \"topk\", did you mean \"top-k\"?; known routers: softmax, top-k";
        assert!(unknown.starts_with(start), "{unknown}");
        assert!(refused(&GateSpec { k: 5, ..SPEC }, &BTreeMap::new()).contains("from 1 to 4"));
        assert!(refused(&GateSpec { k: 0, ..SPEC }, &BTreeMap::new()).contains("k = 0"));
        let key = refused(&SPEC, &given("load-balanc", Value::Real(1.0)));
        assert!(key.contains("did you mean \"load-balance\"?"), "{key}");
        let value = refused(&SPEC, &given("load-balance", Value::Int(-1)));
        assert_eq!(
            value,
            "router top-k: load-balance = -1 is not allowed; it must be a number from 0 to 1000000"
        );
        assert!(refused(&SPEC, &given("load-balance", Value::Bool(true))).contains("true"));
    }

    #[test]
    fn softmax_ignores_k() {
        let registry = Registry::standard();
        let spec = GateSpec { k: 99, ..SPEC };
        let gates = registry.get("softmax").unwrap().build(&spec, 2, &BTreeMap::new()).unwrap();
        assert_eq!((gates.num_gates(), gates.num_experts()), (2, 4));
    }

    #[test]
    fn moesart_needs_two_experts_unless_the_fallback_is_on() {
        let registry = Registry::standard();
        let info = registry.get("moesart").unwrap().info();
        let one = GateSpec { k: 1, ..SPEC };
        assert_eq!(
            info.check(&one, &BTreeMap::new()).unwrap_err().to_string(),
            "router moesart: k = 1 is not allowed with 4 experts; k must be from 2 to 4, or set \
             k1-fallback = true"
        );
        info.check(&one, &given("k1-fallback", Value::Bool(true))).unwrap();
        let parameters = info.parameters(&given("replace", Value::Bool(true))).unwrap();
        assert_eq!(*parameters.get("replace"), Value::Bool(true));
        assert_eq!(*parameters.get("k1-fallback"), Value::Bool(false));
        let none = info.check(&GateSpec { k: 0, ..SPEC }, &BTreeMap::new()).unwrap_err();
        assert!(none.to_string().ends_with("k must be from 2 to 4"), "{none}");
        let many = info.check(&GateSpec { k: 5, ..SPEC }, &BTreeMap::new()).unwrap_err();
        assert!(many.to_string().ends_with("k must be from 2 to 4"), "{many}");
    }

    #[test]
    fn an_id_is_registered_once() {
        let mut registry = Registry::standard();
        let error = registry.register(TopK::entry()).unwrap_err();
        assert_eq!(error, RegistryError::Taken { id: "top-k".into() });
    }
}
