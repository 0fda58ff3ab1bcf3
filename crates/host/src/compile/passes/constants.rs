//! Quantised constants that no integer layer took become the floats they stand for.

use super::super::constant::Data;
use super::super::graph::{Content, Graph};

pub(super) fn dequantize(graph: &mut Graph) {
    for value in &mut graph.values {
        if let Content::Quantized(quantized) = &value.content {
            value.content = Content::Constant(Data::F32(quantized.dequantize(&value.shape)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::constant::QuantizedConstant;
    use super::super::super::graph::Element;
    use super::*;

    #[test]
    fn each_row_takes_its_own_scale_and_zero_point() {
        let mut graph = Graph::default();
        let id = graph.add_value("w", Element::F32, &[2, 2]);
        graph.values[id].content = Content::Quantized(QuantizedConstant {
            integers: vec![1, 2, 3, 4],
            scales: vec![0.5, 2.0],
            zero_points: vec![0, 1],
            axis: 0,
        });
        dequantize(&mut graph);
        assert_eq!(
            graph.constant(id),
            Some(&Data::F32(vec![0.5, 1.0, 4.0, 6.0]))
        );
    }
}
