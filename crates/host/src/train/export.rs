//! Writes features and core into one model.

use super::core::Core;
use crate::data::Splits;
use crate::features::Features;
use crate::onnx::builder::{self, Extent, GraphBuilder};
use crate::onnx::proto::{DataType, ModelProto};
use crate::recipe::Recipe;

/// One graph from `input` `[batch, steps × channels]` to `label` `[batch]` and `probabilities` `[batch, classes]`,
/// with what a stranger needs to know in the metadata. The label is the first class of highest probability.
pub(super) fn model(
    recipe: &Recipe,
    splits: &Splits,
    features: &Features,
    core: &Core,
) -> ModelProto {
    let schema = &splits.train.schema;
    let classes = splits.train.label_names.len();
    let batch = Extent::Named("batch");
    let mut graph = GraphBuilder::new(&recipe.name);
    let input = graph.input(
        "input",
        DataType::Float,
        &[batch.clone(), Extent::Fixed(schema.width())],
    );
    let values = features.emit(&mut graph, &input);
    let probabilities = core.emit(&mut graph, &values);
    let label = graph.node(
        "ArgMax",
        &[&probabilities],
        vec![builder::int("axis", 1), builder::int("keepdims", 0)],
    );
    graph.output(
        &label,
        "label",
        DataType::Int64,
        std::slice::from_ref(&batch),
    );
    graph.output(
        &probabilities,
        "probabilities",
        DataType::Float,
        &[batch, Extent::Fixed(classes)],
    );
    let mut model = graph.finish();
    model.model_version = i64::from(recipe.version);
    model.doc_string = recipe.description.clone();
    describe(&mut model, recipe, splits);
    model
}

fn describe(model: &mut ModelProto, recipe: &Recipe, splits: &Splits) {
    let schema = &splits.train.schema;
    let json = |texts: Vec<&str>| serde_json::Value::from(texts).to_string();
    let labels = json(
        splits
            .train
            .label_names
            .iter()
            .map(String::as_str)
            .collect(),
    );
    let channels = json(
        schema
            .channels
            .iter()
            .map(|channel| channel.name.as_str())
            .collect(),
    );
    let units = json(
        schema
            .channels
            .iter()
            .map(|channel| channel.unit.as_str())
            .collect(),
    );
    builder::set_metadata(model, "labels", &labels);
    builder::set_metadata(model, "channels", &channels);
    builder::set_metadata(model, "units", &units);
    builder::set_metadata(model, "steps", &schema.steps.to_string());
    builder::set_metadata(model, "algorithm", recipe.train.algorithm.name());
    builder::set_metadata(model, "recipe_hash", &recipe.hash());
    builder::set_metadata(model, "data_hash", &splits.data_hash);
    builder::set_metadata(model, "dunlin_version", env!("CARGO_PKG_VERSION"));
}
