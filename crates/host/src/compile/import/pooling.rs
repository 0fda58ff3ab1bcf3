//! Pools over windows of an image, and borders around a tensor.

use super::{Importer, Imports, Made, axis_of, output_name, refuse};
use crate::compile::constant::Data;
use crate::compile::graph::{Border, Element, Fill, Op, ValueId};
use crate::onnx::proto::NodeProto;

impl Importer<'_> {
    pub(super) fn average_pool(&mut self, node: &NodeProto) -> Imports {
        let counted = node.int("count_include_pad").unwrap_or(0) != 0;
        self.pool(node, |window, _| Op::AveragePool2d {
            window,
            margins: if counted { window.pads } else { [0; 4] },
        })
    }

    pub(super) fn max_pool(&mut self, node: &NodeProto) -> Imports {
        if node.output.get(1).is_some_and(|name| !name.is_empty()) {
            let reason = "the indices of the largest elements are asked for";
            return Err(refuse(node, reason, "use the first output only"));
        }
        self.pool(node, |window, element| Op::MaxPool2d { window, element })
    }

    fn pool(
        &mut self,
        node: &NodeProto,
        op: impl Fn(crate::compile::graph::Window, Element) -> Op,
    ) -> Imports {
        let x = self.computed_input(node)?;
        let shape = self.shape_of(x);
        if !matches!(shape.len(), 3 | 4) {
            let reason = format!("an input of shape {shape:?}");
            return Err(refuse(node, &reason, "use pools in 1-D or 2-D"));
        }
        let kernel: Vec<usize> = match (
            node.op_type.starts_with("Global"),
            node.ints("kernel_shape"),
        ) {
            (true, _) => shape[2..].to_vec(),
            (false, Some(kernel)) => kernel
                .iter()
                .map(|&extent| usize::try_from(extent).unwrap_or(0))
                .collect(),
            (false, None) => return Err(refuse(node, "it has no kernel_shape", "export it again")),
        };
        let windows = self.windows(node, &shape[2..], &kernel)?;
        let image = self.channels_last(node, x)?;
        let [rows, columns] = windows.output;
        let y = self.emit(
            output_name(node),
            op(windows.window, Element::F32),
            &[image],
            Made::floats(&[1, rows, columns, shape[1]]),
        );
        self.bind_channels_first(node, y, shape.len())
    }

    /// Of floats; of codes where the constant is given.
    pub(super) fn pad(&mut self, node: &NodeProto) -> Imports {
        let x = self.input(node, 0)?;
        let (shape, element) = (self.shape_of(x), self.graph.values[x].element);
        if !self.graph.values[x].is_computed() || !matches!(element, Element::F32 | Element::I8) {
            let reason = "the input is not a computed tensor of floats or bytes";
            return Err(refuse(node, reason, "fold it before the export"));
        }
        let (before, behind) = self.borders(node, shape.len())?;
        if before.iter().chain(&behind).all(|&count| count == 0) {
            return self.identity(node);
        }
        let extents = shape.iter().zip(before.iter().zip(&behind));
        let padded: Option<Vec<usize>> = extents
            .map(|(&extent, (before, behind))| {
                let result = i64::try_from(extent).ok()?.checked_add(before + behind)?;
                usize::try_from(result).ok().filter(|&result| result > 0)
            })
            .collect();
        let nothing = || refuse(node, "nothing is left of the input", "take off less");
        let padded = padded.ok_or_else(nothing)?;
        let fill = self.fill(node, element)?;
        let last = |axis: usize| shape[axis] as i64 - 1;
        let mirrored = (0..shape.len()).all(|axis| before[axis].max(behind[axis]) <= last(axis));
        if fill == Fill::Reflect && !mirrored {
            let reason = "a reflected border is wider than what it mirrors";
            return Err(refuse(node, reason, "pad less"));
        }
        let outer = shape.len().saturating_sub(4);
        if padded[..outer]
            .iter()
            .chain(&shape[..outer])
            .any(|&extent| extent != 1)
        {
            let reason = "more than 4 dimensions behind the batch";
            return Err(refuse(node, reason, "reshape before it"));
        }
        let op = Op::Pad {
            border: Border { fill, before },
            element,
        };
        let made = Made {
            element,
            shape: &padded,
        };
        let id = self.emit(output_name(node), op, &[x], made);
        self.read_alike(id, x);
        self.bind(node, 0, id);
        Ok(())
    }

    /// Elements before and behind the tensor along every axis.
    fn borders(&self, node: &NodeProto, rank: usize) -> Imports<(Vec<i64>, Vec<i64>)> {
        const MAX_BORDER: i64 = 1 << 26;
        let pads = match node.ints("pads") {
            Some(pads) => pads.to_vec(),
            None => self.integer_input(node, 1)?,
        };
        let axes = match self.optional_input(node, 3)? {
            Some(_) => self.integer_input(node, 3)?,
            None => (0..rank as i64).collect(),
        };
        let fits = pads.len() == 2 * axes.len();
        if !fits || pads.iter().any(|count| count.saturating_abs() > MAX_BORDER) {
            let reason = format!("pads of {pads:?} for {} axes", axes.len());
            return Err(refuse(node, &reason, "give two numbers per axis"));
        }
        let (mut before, mut behind) = (vec![0; rank], vec![0; rank]);
        for (position, &axis) in axes.iter().enumerate() {
            let axis = axis_of(node, axis, rank)?;
            before[axis] = pads[position];
            behind[axis] = pads[position + axes.len()];
        }
        Ok((before, behind))
    }

    fn fill(&self, node: &NodeProto, element: Element) -> Imports<Fill> {
        match node.string("mode").unwrap_or("constant") {
            "constant" => {}
            "edge" => return Ok(Fill::Edge),
            "reflect" => return Ok(Fill::Reflect),
            other => {
                let reason = format!("mode {other} is not supported");
                return Err(refuse(node, &reason, "use constant, edge or reflect"));
            }
        }
        let given = self.optional_input(node, 2)?;
        let value = match (element, given) {
            (Element::F32, None) => Some(Fill::Float(node.float("value").unwrap_or(0.0))),
            (Element::F32, Some(id)) => self.first_float(id).map(Fill::Float),
            (_, Some(id)) => match self.graph.constant(id) {
                Some(Data::I8(codes)) => codes.first().map(|&code| Fill::Code(code.into())),
                Some(Data::Bytes(codes)) => {
                    codes.first().map(|&code| Fill::Code(i32::from(code) - 128))
                }
                _ => None,
            },
            (_, None) => None,
        };
        let nearest = "give a constant of the input's type";
        value.ok_or_else(|| refuse(node, "the value is not a constant that fits", nearest))
    }

    fn first_float(&self, id: ValueId) -> Option<f32> {
        self.graph.floats(id)?.first().copied()
    }
}
