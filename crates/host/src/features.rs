//! Features declared in a recipe, as ONNX nodes.
