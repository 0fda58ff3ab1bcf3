use super::*;
use crate::data::{self, LoadOptions};
use crate::onnx;
use std::path::Path;

fn machine() -> (Recipe, Splits) {
    let path = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../models/machine"));
    let mut recipe = Recipe::read(path).unwrap();
    if let Some(simulation) = &mut recipe.data.simulation {
        simulation.sessions = 10;
        simulation.windows = 10;
    }
    let splits = data::load(&recipe, &LoadOptions::default()).unwrap();
    (recipe, splits)
}

#[test]
fn equal_recipe_and_data_give_equal_bytes() {
    let (recipe, splits) = machine();
    for algorithm in Algorithm::ALL {
        let mut recipe = recipe.clone().with_algorithm(algorithm);
        recipe.train.mlp.max_epochs = 3;
        let bytes = || onnx::encode(&train(&recipe, &splits, &mut |_| ()).unwrap().model);
        assert_eq!(bytes(), bytes(), "{algorithm}");
    }
}
