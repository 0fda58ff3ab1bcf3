//! Damaged plans of real models and of random graphs: refused, or run to the end.

#[path = "../../../../engine/tests/support/damage.rs"]
mod damage;

use super::random_graph::{Chance, random_graph};
use super::shared_models;
use crate::compile::{CompileOptions, compile};
use crate::onnx;
use damage::{Fates, MAX_TEST_WORK, fuzz, rounds};

/// Models whose plans are damaged.
const MODELS: [&str; 8] = [
    "kws_int8_qdq",
    "ic_int8_qdq",
    "ad_int8_qdq",
    "hello_int8_qdq",
    "rf_bc_10",
    "rf_digits_100",
    "imported/pt_lstm",
    "imported/pt_gru",
];

/// Where the undamaged plans go when `DUNLIN_WRITE_PLANS` names a folder: the engine's own fuzz
/// takes them with the arithmetic checks of a development build.
fn keep(name: &str, plan: &[u8]) {
    if let Some(folder) = std::env::var_os("DUNLIN_WRITE_PLANS") {
        let path = std::path::Path::new(&folder).join(name.replace('/', "_"));
        std::fs::write(&path, plan).expect("a folder for plans");
    }
}

#[test]
fn damaged_plans_of_models_are_refused_or_run() {
    let Some(folder) = shared_models() else {
        return;
    };
    let mut damaged = 0;
    for name in MODELS {
        let model = onnx::read(&folder.join(format!("{name}.onnx"))).unwrap();
        let compiled = compile(&model, &CompileOptions::default());
        let plan = compiled
            .unwrap_or_else(|error| panic!("{name}: {error}"))
            .plan;
        keep(name, &plan);
        let fates = fuzz(name, &plan, rounds(400), MAX_TEST_WORK);
        eprintln!("{name}: {fates:?}");
        assert!(
            fates.refused > 0 && fates.refused < fates.total(),
            "{name}: {fates:?}"
        );
        damaged += fates.total();
    }
    assert!(damaged > 0, "no plan was damaged");
}

#[test]
fn damaged_plans_of_random_graphs_are_refused_or_run() {
    let mut all = Fates::default();
    let mut plans = 0;
    for seed in 0..200 {
        let graph = random_graph(&mut Chance::new(seed));
        let options = CompileOptions {
            reference: seed % 2 == 1,
            ..CompileOptions::default()
        };
        let Ok(compiled) = compile(&graph.model, &options) else {
            continue;
        };
        let name = format!("random graph {seed} {:?}", graph.ops);
        keep(&format!("random_{seed}"), &compiled.plan);
        let fates = fuzz(&name, &compiled.plan, rounds(150), MAX_TEST_WORK);
        all.refused += fates.refused;
        all.loaded += fates.loaded;
        all.ran += fates.ran;
        plans += 1;
    }
    eprintln!("{plans} plans of random graphs: {all:?}");
    assert!(
        plans > 20 && all.ran > all.total() / 20 && all.refused > 0,
        "{all:?}"
    );
}
