//! Float ONNX to int8 QDQ ONNX.
