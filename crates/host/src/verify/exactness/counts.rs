//! What was counted.

use super::{Exact, ExactnessError, Others, Study};
use crate::verify::Skipped;
use crate::verify::exact::{Tensor, Values};
use serde::Serialize;
use std::rc::Rc;

/// A model, counted against exact arithmetic.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Exactness {
    /// Inputs run.
    pub inputs: usize,
    /// The model's outputs.
    pub output: OutputCounts,
    /// Every quantised activation, in the order of the nodes.
    pub nodes: Vec<PointCounts>,
    /// Bytes of the outputs where not all agree; the first [`Exactness::MAX_DIFFERENCES`].
    pub differences: Vec<Difference>,
    /// Answers that came with the inputs.
    pub recorded: Vec<Recorded>,
    /// What could not be asked.
    pub skipped: Vec<Skipped>,
}

/// Bytes of the model's outputs, and how many differ from exact arithmetic.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct OutputCounts {
    /// Bytes compared.
    pub bytes: usize,
    /// The engine's; none where it refuses the model.
    pub engine: Option<usize>,
    /// ONNX Runtime's with all graph optimisations.
    pub optimized: Option<usize>,
    /// ONNX Runtime's with none.
    pub unoptimized: Option<usize>,
    /// The engine's that differ from the optimised ONNX Runtime's.
    pub engine_from_optimized: Option<usize>,
    /// The engine's that differ from the unoptimised ONNX Runtime's.
    pub engine_from_unoptimized: Option<usize>,
    /// Where the two ONNX Runtimes differ from each other.
    pub optimized_from_unoptimized: Option<usize>,
}

/// One quantised activation. Counts of differing bytes are from the exact result for the model's
/// own inputs.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PointCounts {
    /// The tensor.
    pub tensor: String,
    /// The ops since the quantised tensors before it; `QuantizeLinear` is the last.
    pub ops: Vec<String>,
    /// Whether it is an output of the model.
    pub is_output: bool,
    /// Bytes compared.
    pub bytes: usize,
    /// The engine's bytes that differ; none where it refuses the model cut off here.
    pub engine: Option<usize>,
    /// Why the engine refuses it.
    pub refusal: Option<String>,
    /// ONNX Runtime with all graph optimisations.
    pub optimized: Option<Departure>,
    /// ONNX Runtime with none.
    pub unoptimized: Option<Departure>,
}

/// ONNX Runtime at one quantised activation.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Departure {
    /// Bytes that differ from the exact result.
    pub differing: usize,
    /// Bytes that differ from the exact result of ONNX Runtime's own inputs of these ops: made
    /// wrong here.
    pub departing: usize,
    /// The op that computes them after the rewrites.
    pub computed_by: Option<String>,
    /// Why exact arithmetic is left here, where it is.
    pub because: Option<String>,
    /// The first byte made wrong here.
    pub example: Option<Example>,
}

/// One byte that ONNX Runtime made wrong.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Example {
    /// Index of the input.
    pub input: usize,
    /// Index of the element.
    pub element: usize,
    /// The real result in steps of the quantization, zero point added, before rounding.
    pub steps: f64,
    /// The integer it rounds to.
    pub exact: i64,
    /// What was given.
    pub got: i64,
}

/// One byte of an output about which not all agree.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Difference {
    /// The output.
    pub tensor: String,
    /// Index of the input.
    pub input: usize,
    /// Index of the element.
    pub element: usize,
    /// The real result in steps of the last quantization, zero point added, before rounding.
    pub steps: f64,
    /// The integer it rounds to.
    pub exact: i64,
    /// The engine's.
    pub engine: Option<i64>,
    /// ONNX Runtime's with all graph optimisations.
    pub optimized: Option<i64>,
    /// ONNX Runtime's with none.
    pub unoptimized: Option<i64>,
}

/// Answers of others that came with the inputs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Recorded {
    /// Name of the array.
    pub name: String,
    /// Bytes that differ from exact arithmetic.
    pub from_exact: usize,
    /// Bytes that differ from the engine.
    pub from_engine: Option<usize>,
}

impl Exactness {
    /// Most bytes of outputs that are listed one by one.
    pub const MAX_DIFFERENCES: usize = 1000;

    /// Whether the engine was asked for the model's outputs and gave the exact bytes, there and at
    /// every activation.
    pub fn passed(&self) -> bool {
        self.output.engine == Some(0) && self.nodes.iter().all(|node| node.engine.unwrap_or(0) == 0)
    }
}

/// Everything to be counted.
pub(super) struct Counter<'c> {
    pub study: &'c Study<'c>,
    pub exact: &'c Exact,
    pub engine: &'c [Result<Vec<Vec<i64>>, String>],
    pub optimized: Option<&'c Others>,
    pub unoptimized: Option<&'c Others>,
}

impl Counter<'_> {
    pub fn count(&self, mut skipped: Vec<Skipped>) -> Result<Exactness, ExactnessError> {
        let points = 0..self.study.points.len();
        let nodes: Result<Vec<PointCounts>, ExactnessError> =
            points.map(|index| self.point(index)).collect();
        let (recorded, unfit) = self.recorded();
        skipped.extend(unfit);
        Ok(Exactness {
            inputs: self.study.samples.inputs.len(),
            output: self.outputs(),
            nodes: nodes?,
            differences: self.differences()?,
            recorded,
            skipped,
        })
    }

    fn point(&self, index: usize) -> Result<PointCounts, ExactnessError> {
        let point = &self.study.points[index];
        let exact = &self.exact.codes[index];
        let engine = self.engine[index].as_ref();
        let departure = |others: Option<&Others>, rewritten: bool| {
            others
                .map(|others| self.departure(index, others, rewritten))
                .transpose()
        };
        Ok(PointCounts {
            tensor: point.tensor.clone(),
            ops: [point.ops.as_slice(), &["QuantizeLinear".to_owned()]].concat(),
            is_output: point.is_output,
            bytes: exact.iter().map(Vec::len).sum(),
            engine: engine.ok().map(|codes| differing(exact, codes)),
            refusal: engine.err().cloned(),
            optimized: departure(self.optimized, true)?,
            unoptimized: departure(self.unoptimized, false)?,
        })
    }

    fn departure(
        &self,
        index: usize,
        others: &Others,
        rewritten: bool,
    ) -> Result<Departure, ExactnessError> {
        let got = &others.codes[index];
        let (mut departing, mut example) = (0, None);
        for (sample, got) in got.iter().enumerate() {
            let own = self.exact_of_own_inputs(index, sample, others)?;
            let wrong = (0..own.len()).filter(|&element| got.get(element) != Some(&own[element]));
            for element in wrong {
                departing += 1;
                if example.is_none() {
                    example = Some(Example {
                        input: sample,
                        element,
                        steps: self.steps(index, sample, Some(others))?[element],
                        exact: own[element],
                        got: got.get(element).copied().unwrap_or_default(),
                    });
                }
            }
        }
        let point = &self.study.points[index];
        let maker = others.makers[index].as_deref().filter(|_| rewritten);
        Ok(Departure {
            differing: differing(&self.exact.codes[index], got),
            departing,
            computed_by: maker.map(str::to_owned),
            because: (departing > 0).then(|| reason(&point.ops, maker)),
            example,
        })
    }

    /// The exact codes of a point for what others have at the points before it.
    fn exact_of_own_inputs(
        &self,
        index: usize,
        sample: usize,
        others: &Others,
    ) -> Result<Vec<i64>, ExactnessError> {
        let point = &self.study.points[index];
        let is_exact =
            |&before: &usize| others.codes[before][sample] == self.exact.codes[before][sample];
        if point.before.iter().all(is_exact) {
            return Ok(self.exact.codes[index][sample].clone());
        }
        let given = self.given(index, sample, Some(others))?;
        let values = self.study.evaluator.evaluate(given, &[&point.tensor])?;
        Ok(values[&point.tensor].codes().unwrap_or_default().to_vec())
    }

    /// Where every element of a point lies in steps of its quantization, zero point added, before
    /// it is rounded; for others' values at the points before it or for the exact ones.
    fn steps(
        &self,
        index: usize,
        sample: usize,
        others: Option<&Others>,
    ) -> Result<Vec<f64>, ExactnessError> {
        let point = &self.study.points[index];
        let given = self.given(index, sample, others)?;
        let values = self.study.evaluator.evaluate(given, &[&point.real])?;
        let steps = values[&point.real].in_steps(point.scale);
        Ok(steps
            .iter()
            .map(|steps| steps + point.zero_point as f64)
            .collect())
    }

    fn given(
        &self,
        index: usize,
        sample: usize,
        others: Option<&Others>,
    ) -> Result<Values, ExactnessError> {
        let mut given = self.study.given(&self.study.samples.inputs[sample])?;
        let codes = others.map_or(&self.exact.codes, |others| &others.codes);
        for &before in &self.study.points[index].before {
            let place = &self.study.points[before];
            let shape = &self.exact.shapes[before];
            let tensor = Tensor::integers(place.element, shape, codes[before][sample].clone());
            given.insert(place.tensor.clone(), Rc::new(tensor));
        }
        Ok(given)
    }

    fn ends(&self) -> impl Iterator<Item = usize> + '_ {
        let points = self.study.points.iter().enumerate();
        points
            .filter(|(_, point)| point.is_output)
            .map(|(index, _)| index)
    }

    fn outputs(&self) -> OutputCounts {
        let exact = |index: usize| Some(&self.exact.codes[index]);
        let engine = |index: usize| self.engine[index].as_ref().ok();
        let optimized = |index: usize| self.optimized.map(|others| others.answer(index));
        let unoptimized = |index: usize| self.unoptimized.map(|others| others.answer(index));
        let all = || self.ends().map(|index| self.exact.codes[index].iter());
        OutputCounts {
            bytes: all().flatten().map(Vec::len).sum(),
            engine: self.between(&engine, &exact),
            optimized: self.between(&optimized, &exact),
            unoptimized: self.between(&unoptimized, &exact),
            engine_from_optimized: self.between(&engine, &optimized),
            engine_from_unoptimized: self.between(&engine, &unoptimized),
            optimized_from_unoptimized: self.between(&optimized, &unoptimized),
        }
    }

    /// Differing bytes of the outputs; none where one of the two has none.
    fn between<'s>(&self, a: AtPoint<'_, 's>, b: AtPoint<'_, 's>) -> Option<usize> {
        self.ends()
            .map(|index| Some(differing(a(index)?, b(index)?)))
            .sum()
    }

    fn differences(&self) -> Result<Vec<Difference>, ExactnessError> {
        let mut found = Vec::new();
        for index in self.ends() {
            for sample in 0..self.study.samples.inputs.len() {
                self.compare_output(index, sample, &mut found)?;
            }
        }
        found.truncate(Exactness::MAX_DIFFERENCES);
        Ok(found)
    }

    fn compare_output(
        &self,
        index: usize,
        sample: usize,
        found: &mut Vec<Difference>,
    ) -> Result<(), ExactnessError> {
        let exact = &self.exact.codes[index][sample];
        let engine = self.engine[index].as_ref().ok().map(|codes| &codes[sample]);
        let of =
            |others: Option<&'_ Others>| others.map(|others| others.answer(index)[sample].clone());
        let (optimized, unoptimized) = (of(self.optimized), of(self.unoptimized));
        let got =
            |codes: Option<&Vec<i64>>, element: usize| codes.and_then(|c| c.get(element).copied());
        let mut steps = None;
        for (element, &code) in exact.iter().enumerate() {
            let theirs = [
                got(engine, element),
                got(optimized.as_ref(), element),
                got(unoptimized.as_ref(), element),
            ];
            if theirs.iter().flatten().all(|&other| other == code) {
                continue;
            }
            if steps.is_none() {
                steps = Some(self.steps(index, sample, None)?);
            }
            let [engine, optimized, unoptimized] = theirs;
            found.push(Difference {
                tensor: self.study.points[index].tensor.clone(),
                input: sample,
                element,
                steps: steps.as_ref().map_or(f64::NAN, |steps| steps[element]),
                exact: code,
                engine,
                optimized,
                unoptimized,
            });
        }
        Ok(())
    }

    /// Answers with as many bytes per input as the only output, and the others.
    fn recorded(&self) -> (Vec<Recorded>, Vec<Skipped>) {
        let ends: Vec<usize> = self.ends().collect();
        let &[end] = ends.as_slice() else {
            return Default::default();
        };
        let exact = &self.exact.codes[end];
        let signed = |bytes: &Vec<u8>| bytes.iter().map(|&byte| i64::from(byte as i8)).collect();
        let as_codes = |rows: &Vec<Vec<u8>>| -> Vec<Vec<i64>> { rows.iter().map(signed).collect() };
        let fits = |rows: &[Vec<i64>]| rows.iter().zip(exact).all(|(a, b)| a.len() == b.len());
        let answers = self.study.samples.answers.iter();
        let (fitting, unfit): (Vec<_>, Vec<_>) = answers
            .map(|(name, rows)| (name, as_codes(rows)))
            .partition(|(_, rows)| fits(rows));
        let recorded = |(name, rows): (&String, Vec<Vec<i64>>)| Recorded {
            name: name.clone(),
            from_exact: differing(exact, &rows),
            from_engine: self.engine[end]
                .as_ref()
                .ok()
                .map(|engine| differing(engine, &rows)),
        };
        let bytes = |rows: &[Vec<i64>]| rows.first().map_or(0, Vec::len);
        let skipped = |(name, rows): (&String, Vec<Vec<i64>>)| Skipped {
            backend: name.clone(),
            reason: format!(
                "it has {} bytes an input, the output {}",
                bytes(&rows),
                bytes(exact)
            ),
        };
        (
            fitting.into_iter().map(recorded).collect(),
            unfit.into_iter().map(skipped).collect(),
        )
    }
}

/// Codes of a backend at a point, per input.
type AtPoint<'f, 's> = &'f dyn Fn(usize) -> Option<&'s Vec<Vec<i64>>>;

/// Elements that differ or that only one of the two has.
fn differing(a: &[Vec<i64>], b: &[Vec<i64>]) -> usize {
    let row = |(a, b): (&Vec<i64>, &Vec<i64>)| {
        let differ = a.iter().zip(b).filter(|(a, b)| a != b).count();
        differ + a.len().abs_diff(b.len())
    };
    a.iter().zip(b).map(row).sum()
}

/// Why ONNX Runtime leaves exact arithmetic at these ops, computed by `maker` after its rewrites
/// or, where there were none, node by node.
fn reason(ops: &[String], maker: Option<&str>) -> String {
    let fused = |maker: &str| match maker {
        "QLinearConv" | "QLinearMatMul" | "QGemm" => {
            Some("sums in int32, then multiplies by s_x·s_w/s_y rounded to float32")
        }
        "QLinearAdd" | "QLinearMul" => {
            Some("computes in float32 with quotients of scales rounded to float32")
        }
        "QLinearAveragePool" | "QLinearGlobalAveragePool" | "QLinearReduceMean" => {
            Some("averages with a factor rounded to float32")
        }
        "QLinearSoftmax" => Some("takes exponentials from a table of float32 or integers"),
        "QLinearSigmoid" | "QLinearLeakyRelu" => Some("takes a function of float32 from a table"),
        _ => None,
    };
    if let Some((maker, why)) = maker.and_then(|maker| Some((maker, fused(maker)?))) {
        return format!("{maker} {why}");
    }
    let of = |op: &String| match op.as_str() {
        "Conv" | "ConvTranspose" | "Gemm" | "MatMul" => Some("sums products rounded to float32"),
        "AveragePool" | "GlobalAveragePool" | "ReduceMean" => Some("averages in float32"),
        "Add" | "Sub" | "Mul" | "Div" | "Sum" => Some("rounds to float32"),
        "Softmax" | "Sigmoid" | "Tanh" | "Exp" | "Erf" | "LayerNormalization" => {
            Some("computes its function in float32")
        }
        _ => None,
    };
    let parts = ops
        .iter()
        .filter_map(|op| Some(format!("{op} {}", of(op)?)));
    let mut parts: Vec<String> = parts.collect();
    parts.push("QuantizeLinear divides in float32".into());
    parts.join(", ")
}
