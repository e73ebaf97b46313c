//! The registry of models: what it builds, reads, refuses and takes up.

mod common;

use common::{description, ids};
use moe_core::batch::{InputSpec, TaskSpec};
use moe_nn::{
    BiasDescription, MixtureDescription, Model, ModelDescription, ModelEntry, ModelError, Models,
    Module,
};
use moe_routers::{Registry, RouterEntry, RouterInfo, TopK, Value};
use serde::{Deserialize, Serialize};
use serde_json::json;

/// A description of another kind that builds a mixture with the router top-k.
#[derive(Debug, Serialize, Deserialize)]
struct Renamed {
    inside: MixtureDescription,
}

impl ModelDescription for Renamed {
    fn kind(&self) -> &str {
        "renamed"
    }
    fn fields(&self) -> serde_json::Value {
        json!({ "inside": self.inside })
    }
    fn input(&self) -> &InputSpec {
        self.inside.input()
    }
    fn tasks(&self) -> &[TaskSpec] {
        self.inside.tasks()
    }
    fn tasks_mut(&mut self) -> &mut Vec<TaskSpec> {
        self.inside.tasks_mut()
    }
    fn validate(&self, routers: &Registry) -> Result<(), ModelError> {
        self.inside.validate(routers)
    }
    fn build_model(&self, routers: &Registry, seed: u64) -> Result<Box<dyn Model>, ModelError> {
        self.inside.build_model(routers, seed)
    }
}

fn renamed(id: &str) -> ModelEntry {
    let info = RouterInfo::new(id, "a mixture under another name", "this test");
    ModelEntry::new(info, "renamed", |settings, _| {
        Ok(Renamed { inside: settings.clone().with_router("top-k") })
    })
}

#[test]
fn a_users_model_is_described_built_and_read_again() {
    let mut models = Models::standard();
    models.register(renamed("mine")).unwrap();
    assert_eq!(models.info("mine").unwrap().summary, "a mixture under another name");
    let settings = description(&ids(1, 3), "mine");
    let described = models.describe(settings.clone()).unwrap();
    let json = described.to_json();
    assert_eq!(json["model"], "renamed");
    let again = models.read(&json).unwrap();
    assert_eq!(*again, *described);
    let expected = settings.with_router("top-k").build(models.routers(), 3).unwrap();
    let built = models.build(&*again, 3).unwrap();
    assert_eq!(common::bits(&*built), common::bits(&expected));
    // A program that does not know it says which kinds it knows.
    let unknown = Models::standard().read(&json).unwrap_err().to_string();
    assert_eq!(
        unknown,
        "unknown kind of model \"renamed\"; known kinds: bias, mixture, shared-bottom"
    );
    let taken = models.describe(
        description(&ids(1, 3), "mine")
            .with_router_parameters([("width".to_string(), Value::Int(3))].into()),
    );
    assert!(taken.unwrap_err().to_string().contains("router mine has no parameter \"width\""));
}

#[test]
fn an_id_stands_for_one_thing() {
    let mut models = Models::standard();
    for id in ["comet", "bias"] {
        let error = models.register(renamed(id)).unwrap_err().to_string();
        assert_eq!(error, format!("there is already a router \"{id}\""));
    }
    let mut routers = Registry::standard();
    let info = RouterInfo::new("single", "one expert", "this test");
    routers
        .register(RouterEntry::per_gate(info, |spec, _| Box::new(TopK::new(spec, 0.0))))
        .unwrap();
    let error = Models::from(routers).info("single").unwrap_err().to_string();
    assert_eq!(error, "there is already a router \"single\"");
    let unknown = models.info("shared-bottm").unwrap_err().to_string();
    assert!(unknown.contains("did you mean \"shared-bottom\"?"), "{unknown}");
}

#[test]
fn a_description_is_checked_before_anything_is_built() {
    let (models, source) = (Models::standard(), ids(1, 3));
    let refused = |description: &dyn ModelDescription| {
        models.build(description, 1).map(|model| model.parameter_count()).unwrap_err().to_string()
    };
    let of = |change: &dyn Fn(MixtureDescription) -> MixtureDescription| {
        refused(&change(description(&source, "top-k")))
    };
    assert_eq!(of(&|d| d.with_experts(0)), "the number of experts is 0");
    assert_eq!(of(&|d| d.with_expert_width(0)), "the width of an expert is 0");
    assert_eq!(of(&|d| d.with_head_widths(&[4, 0])), "the width of a hidden layer of a head is 0");
    let dropout = of(&|d| d.with_expert_dropout(1.0));
    assert_eq!(dropout, "the dropout of experts is 1; it must be from 0 to below 1");
    let huge = of(&|d| d.with_expert_width(1 << 45));
    assert!(huge.contains("more than this machine has"), "{huge}");
    let tokens = MixtureDescription::new(InputSpec::tokens(9, 3), source.tasks.clone());
    assert!(refused(&tokens).contains("a row has up to 3 tokens"), "{}", refused(&tokens));
    let none = MixtureDescription::new(source.input.clone(), Vec::new());
    assert_eq!(refused(&none), "the list of tasks is empty");
    let (input, tasks) = (InputSpec::dense(2), source.tasks.clone());
    let bias = BiasDescription { input, tasks, ridge: 1.0 };
    assert!(refused(&bias).contains("bias is for rows of two ids"));
}

#[test]
fn both_forms_of_saved_experts_are_read_and_a_mix_is_refused() {
    let models = Models::standard();
    let new = description(&ids(1, 3), "top-k").with_expert_hidden_widths(&[7]);
    let new: &dyn ModelDescription = &new;
    let json = new.to_json();
    assert_eq!(json["expert"]["kind"], "mlp");
    let mut flat = json.clone();
    let expert = flat.as_object_mut().unwrap().remove("expert").unwrap();
    for (name, key) in [
        ("hidden_widths", "expert_hidden_widths"),
        ("width", "expert_width"),
        ("dropout", "expert_dropout"),
    ] {
        flat[key] = expert[name].clone();
    }
    assert_eq!(*models.read(&flat).unwrap(), *new);
    let mut both = flat.clone();
    both["expert"] = expert;
    let mut neither = json.clone();
    neither.as_object_mut().unwrap().remove("expert");
    for wrong in [both, neither] {
        let error = models.read(&wrong).unwrap_err().to_string();
        assert!(error.contains("needs either `expert` or `expert_width`"), "{error}");
    }
}
