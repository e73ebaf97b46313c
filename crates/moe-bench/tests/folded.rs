//! A run with a search for a permutation is saved without the search: programs that know only the plain routers can
//! load it.

mod common;

use common::Place;
use common::training::{SHORT, check_manifest, check_same_end};
use moe_core::Tensor;
use moe_core::batch::Inputs;
use moe_nn::{ModelScratch, Models, Predictions, Predictor, RunDir};
use moe_routers::Registry;

fn bits(predictor: &Predictor) -> Vec<Vec<u64>> {
    let shape = predictor.input().dense_shape(40);
    let x = Tensor::from_fn(shape, |i| ((i * 37 % 97) as f64 / 50.0 - 1.0) as moe_core::Real);
    let keys: Vec<u64> = (0..40).collect();
    let (mut out, mut scratch) = (Predictions::default(), ModelScratch::default());
    predictor.predict(&Inputs::dense(x), &keys, &mut out, &mut scratch).unwrap();
    let tasks = 0..out.num_tasks();
    tasks.map(|task| out.raw(task).iter().map(|v| f64::from(*v).to_bits()).collect()).collect()
}

#[test]
fn plain_routers_are_enough_to_use_it() {
    let (standard, searching) =
        (Models::standard(), Models::from(moe_search::with_search(Registry::standard())));
    for (router, share, moves) in [
        ("comet+", "all", true),
        ("comet+", "part", true),
        ("top-k+", "gate", true),
        ("top-k+", "part", true),
        // Its permutation is learnt for no step: nothing moves.
        ("hash+", "all", false),
    ] {
        let place = Place::new();
        let epochs = if moves { 2 } else { 0 };
        let search = format!(
            "[routers.\"{router}\"]\nsearch-share = \"{share}\"\nsearch-epochs = {epochs}\n"
        );
        place.write("short.toml", &(SHORT.to_owned() + &search));
        let args = ["train", "--config", "short.toml", "--router", router, "--progress", "none"];
        place.run(&[&args[..], &["--out", "run"]].concat()).succeeded();
        check_manifest(&place, "run");
        let manifest = place.json("run/manifest.json");
        let names = ["last", "best"].map(|which| manifest["models"][which]["router"].clone());
        assert_eq!(names, [router, router.trim_end_matches('+')]);

        // The model as it was trained, with its best weights, and the one that is saved.
        let path = place.path("run");
        let (_, state) = RunDir::open(&path).unwrap();
        let trained = searching.read(&manifest["models"]["last"]).unwrap();
        let trained = Predictor::new(&*trained, state.best(), &searching).unwrap();
        let saved = Predictor::load(&path, &standard).unwrap();
        assert_eq!(bits(&trained), bits(&saved), "{router} {share}");
        assert!(saved.model().parameter_count() < trained.model().parameter_count());

        // Without the permutation it is another model, if there is one.
        let mut plain = manifest["models"]["best"].clone();
        let share = plain.as_object_mut().unwrap().remove("relabelled").unwrap();
        let plain = standard.read(&plain).unwrap();
        let unmoved = Predictor::load(&path, &standard).unwrap();
        let mut plain = standard.build(&*plain, 0).unwrap();
        let weights = moe_nn::Weights::of(unmoved.model());
        plain.visit_mut(&mut |name, mut to| {
            let from = weights.iter().find(|(found, _)| *found == name).expect("a tensor").1;
            *to.tensor_mut() = from.clone();
        });
        let plain = Predictor::of(plain, saved.input().clone(), saved.tasks().to_vec());
        assert_eq!(bits(&plain) != bits(&saved), moves, "{router} {share:?}");

        // It can be gone on with, which changes nothing as it is at its end.
        place.run(&[&args[..], &["--out", "again"]].concat()).succeeded();
        place.run(&[&args[..], &["--out", "again", "--resume"]].concat()).succeeded();
        check_same_end(&place, "run", "again");
        let eval = place.run(&["eval", "run", "--format", "json"]).succeeded().json();
        assert_eq!(eval["loss"], place.json("run/result.json")["test"]["loss"]);
        assert_eq!(eval["router"], router);
    }
}
