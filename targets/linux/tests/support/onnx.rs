//! A small ONNX file, written byte by byte: softmax and argmax of the input itself.

fn varint(mut value: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    while value >= 0x80 {
        bytes.push(value as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
    bytes
}

fn number(field: u64, value: u64) -> Vec<u8> {
    [varint(field << 3), varint(value)].concat()
}

fn bytes(field: u64, content: impl AsRef<[u8]>) -> Vec<u8> {
    let content = content.as_ref();
    [
        varint(field << 3 | 2),
        varint(content.len() as u64),
        content.to_vec(),
    ]
    .concat()
}

fn integer_attribute(name: &str, value: u64) -> Vec<u8> {
    bytes(
        5,
        [bytes(1, name), number(3, value), number(20, 2)].concat(),
    )
}

fn node(op: &str, inputs: &[&str], output: &str, attributes: &[Vec<u8>]) -> Vec<u8> {
    let inputs: Vec<u8> = inputs.iter().flat_map(|input| bytes(1, input)).collect();
    bytes(
        1,
        [inputs, bytes(2, output), bytes(4, op), attributes.concat()].concat(),
    )
}

/// A tensor's name, element type and dimensions; the first one is the batch.
fn value(name: &str, element: u64, dims: &[u64]) -> Vec<u8> {
    let batch = bytes(1, bytes(2, "batch"));
    let dims: Vec<u8> = dims
        .iter()
        .flat_map(|dim| bytes(1, number(1, *dim)))
        .collect();
    let shape = bytes(2, [batch, dims].concat());
    let tensor = bytes(1, [number(1, element), shape].concat());
    [bytes(1, name), bytes(2, tensor)].concat()
}

fn metadata(key: &str, text: &str) -> Vec<u8> {
    bytes(14, [bytes(1, key), bytes(2, text)].concat())
}

/// `probabilities = softmax(input)`, `label = argmax(input)`, two channels, two classes.
pub fn two_classes() -> Vec<u8> {
    let graph = [
        node(
            "Softmax",
            &["input"],
            "probabilities",
            &[integer_attribute("axis", 1)],
        ),
        node(
            "ArgMax",
            &["input"],
            "label",
            &[
                integer_attribute("axis", 1),
                integer_attribute("keepdims", 0),
            ],
        ),
        bytes(2, "two classes"),
        bytes(11, value("input", 1, &[2])),
        bytes(12, value("label", 7, &[])),
        bytes(12, value("probabilities", 1, &[2])),
    ];
    let opset = [bytes(1, ""), number(2, 17)].concat();
    [
        number(1, 8),
        bytes(7, graph.concat()),
        bytes(8, opset),
        metadata("channels", r#"["first","second"]"#),
        metadata("labels", r#"["left","right"]"#),
    ]
    .concat()
}
