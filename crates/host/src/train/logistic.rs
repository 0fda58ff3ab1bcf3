//! Logistic regression by L-BFGS, from linfa.
//!
//! Minimises the summed log loss plus `l2 / 2 · Σw²` over the weights (not the intercepts), in double precision.
//! With two classes there is one weight vector `w`; it is written as the two outputs `-w/2` and `w/2`, whose softmax
//! is the logistic function of `w·x`. Cost: a pass over the data per iteration, tens of iterations.

use super::core::{Dense, Network};
use super::{Matrix, TrainError};
use crate::recipe::Logistic;
use linfa::DatasetBase;
use linfa::traits::Fit;
use linfa_logistic::{LogisticRegression, MultiLogisticRegression};
use ndarray::{Array1, Array2};

const GRADIENT_TOLERANCE: f64 = 1e-4;

/// Fits one layer.
///
/// # Errors
/// [`TrainError::Library`] when the solver fails.
pub(super) fn fit(
    settings: &Logistic,
    values: &Matrix,
    labels: &[u32],
    classes: usize,
) -> Result<Network, TrainError> {
    let shape = (values.rows(), values.width);
    let doubles: Vec<f64> = values
        .values
        .iter()
        .map(|&value| f64::from(value))
        .collect();
    let records = Array2::from_shape_vec(shape, doubles).map_err(refused)?;
    let targets: Array1<usize> = labels.iter().map(|&label| label as usize).collect();
    let dataset = DatasetBase::new(records, targets);
    let layer = match classes {
        2 => two_classes(settings, &dataset, values.width)?,
        _ => many_classes(settings, &dataset, values.width, classes)?,
    };
    Ok(Network {
        layers: vec![layer],
    })
}

type Dataset = DatasetBase<Array2<f64>, Array1<usize>>;

fn two_classes(settings: &Logistic, dataset: &Dataset, width: usize) -> Result<Dense, TrainError> {
    let solver = LogisticRegression::default()
        .alpha(settings.l2)
        .max_iterations(settings.max_iterations)
        .gradient_tolerance(GRADIENT_TOLERANCE);
    let fitted = solver.fit(dataset).map_err(refused)?;
    let sign = if fitted.labels().pos.class == 1 {
        0.5
    } else {
        -0.5
    };
    let weights: Vec<f32> = fitted
        .params()
        .iter()
        .map(|weight| (sign * weight) as f32)
        .collect();
    let bias = (sign * fitted.intercept()) as f32;
    let both = weights
        .iter()
        .map(|weight| -weight)
        .chain(weights.iter().copied())
        .collect();
    Ok(Dense {
        inputs: width,
        outputs: 2,
        weights: both,
        bias: vec![-bias, bias],
    })
}

fn many_classes(
    settings: &Logistic,
    dataset: &Dataset,
    width: usize,
    classes: usize,
) -> Result<Dense, TrainError> {
    let solver = MultiLogisticRegression::default()
        .alpha(settings.l2)
        .max_iterations(settings.max_iterations)
        .gradient_tolerance(GRADIENT_TOLERANCE);
    let fitted = solver.fit(dataset).map_err(refused)?;
    let mut layer = Dense {
        inputs: width,
        outputs: classes,
        weights: vec![0.0; classes * width],
        bias: vec![0.0; classes],
    };
    for (column, &class) in fitted.classes().iter().enumerate() {
        layer.bias[class] = fitted.intercept()[column] as f32;
        for value in 0..width {
            layer.weights[class * width + value] = fitted.params()[[value, column]] as f32;
        }
    }
    Ok(layer)
}

fn refused(error: impl std::fmt::Display) -> TrainError {
    TrainError::Library {
        what: "logistic regression",
        reason: error.to_string(),
    }
}
