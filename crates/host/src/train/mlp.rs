//! Multilayer perceptron, trained with burn.
//!
//! Rectified linear units, cross entropy, AdamW on mini-batches in an order that is shuffled anew every pass, early
//! stopping on the validation loss with the best weights kept. Every random choice comes from the recipe's seed
//! through ChaCha8; the arithmetic runs on one thread, so equal recipe and data give equal weights on one machine.
//! Cost: passes × examples × weights, twice for the gradient.

use super::core::{Dense, Network};
use super::{Epoch, Labelled, Progress, TrainError};
use crate::recipe::Mlp;
use burn::module::{Module, Param};
use burn::nn::loss::CrossEntropyLossConfig;
use burn::optim::{AdamWConfig, GradientsParams, ModuleOptimizer};
use burn::tensor::{Device, Int, Tensor, TensorData, activation::relu};
use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// What fitting leaves besides the network.
pub(super) struct Fitted {
    pub(super) network: Network,
    pub(super) curve: Vec<Epoch>,
    pub(super) best_epoch: usize,
}

/// Fits the layers that the settings name, and an output layer of `classes`.
///
/// # Errors
/// [`TrainError::Diverged`] when a loss stops being a number, [`TrainError::Library`] when burn fails.
pub(super) fn fit(
    settings: &Mlp,
    seed: u64,
    train: &Labelled,
    validation: &Labelled,
    classes: usize,
    report: &mut dyn FnMut(Progress),
) -> Result<Fitted, TrainError> {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let device = device();
    let mut model = Perceptron::new(
        train.values.width,
        &settings.hidden,
        classes,
        &mut random,
        &device,
    );
    let mut optimizer = AdamWConfig::new()
        .with_weight_decay(settings.weight_decay as f32)
        .init();
    let mut order: Vec<usize> = (0..train.values.rows()).collect();
    let mut best = Best {
        loss: f64::INFINITY,
        network: model.network()?,
        epoch: 0,
    };
    let mut curve = Vec::new();
    for epoch in 1..=settings.max_epochs {
        order.shuffle(&mut random);
        let (next, train_loss) = pass(model, &mut optimizer, settings, train, &order, &device)?;
        model = next;
        let network = model.network()?;
        let validation_loss = log_loss(&network, validation);
        if !train_loss.is_finite() || !validation_loss.is_finite() {
            return Err(TrainError::Diverged { epoch });
        }
        curve.push(Epoch {
            epoch,
            train_loss,
            validation_loss,
        });
        report(Progress {
            done: epoch,
            total: settings.max_epochs,
            train_loss: Some(train_loss),
            validation_loss: Some(validation_loss),
        });
        best.offer(validation_loss, network, epoch);
        if epoch - best.epoch >= settings.patience {
            break;
        }
    }
    Ok(Fitted {
        network: best.network,
        curve,
        best_epoch: best.epoch,
    })
}

struct Best {
    loss: f64,
    network: Network,
    epoch: usize,
}

impl Best {
    fn offer(&mut self, loss: f64, network: Network, epoch: usize) {
        if loss < self.loss {
            *self = Best {
                loss,
                network,
                epoch,
            };
        }
    }
}

/// One pass in the given order; the model after it and the mean loss on the way.
fn pass(
    mut model: Perceptron,
    optimizer: &mut ModuleOptimizer,
    settings: &Mlp,
    train: &Labelled,
    order: &[usize],
    device: &Device,
) -> Result<(Perceptron, f64), TrainError> {
    let cross_entropy = CrossEntropyLossConfig::new().init(device);
    let mut sum = 0.0;
    for rows in order.chunks(settings.batch) {
        let (inputs, targets) = batch(train, rows, device);
        let loss = cross_entropy.forward(model.forward(inputs), targets);
        sum += rows.len() as f64
            * f64::from(
                loss.clone()
                    .into_data()
                    .try_to_vec::<f32>()
                    .map_err(refused)?
                    .first()
                    .copied()
                    .unwrap_or(f32::NAN),
            );
        let gradients = GradientsParams::from_grads(loss.backward(), &model);
        model = optimizer.step(settings.learning_rate, model, gradients);
    }
    Ok((model, sum / order.len() as f64))
}

fn batch(train: &Labelled, rows: &[usize], device: &Device) -> (Tensor<2>, Tensor<1, Int>) {
    let width = train.values.width;
    let values: Vec<f32> = rows
        .iter()
        .flat_map(|&row| train.values.row(row).iter().copied())
        .collect();
    let labels: Vec<i64> = rows
        .iter()
        .map(|&row| i64::from(train.labels[row]))
        .collect();
    let inputs = Tensor::from_data(TensorData::new(values, [rows.len(), width]), device);
    let targets = Tensor::from_data(TensorData::new(labels, [rows.len()]), device);
    (inputs, targets)
}

/// Mean of -ln p(label), from the logits in double precision.
fn log_loss(network: &Network, examples: &Labelled) -> f64 {
    let one = |row: usize| {
        let logits = network.logits(examples.values.row(row));
        let highest = f64::from(logits.iter().copied().fold(f32::NEG_INFINITY, f32::max));
        let sum: f64 = logits
            .iter()
            .map(|&logit| (f64::from(logit) - highest).exp())
            .sum();
        highest + sum.ln()
            - logits
                .get(examples.labels[row] as usize)
                .map_or(f64::NAN, |&logit| f64::from(logit))
    };
    (0..examples.labels.len()).map(one).sum::<f64>() / examples.labels.len() as f64
}

/// The layers as burn trains them.
#[derive(Module, Debug)]
struct Perceptron {
    weights: Vec<Param<Tensor<2>>>,
    biases: Vec<Param<Tensor<1>>>,
}

impl Perceptron {
    /// Weights uniform within ±√(6 / inputs) (He et al., 2015), biases 0.
    fn new(
        inputs: usize,
        hidden: &[usize],
        classes: usize,
        random: &mut ChaCha8Rng,
        device: &Device,
    ) -> Perceptron {
        let widths: Vec<usize> = std::iter::once(inputs)
            .chain(hidden.iter().copied())
            .chain([classes])
            .collect();
        let mut weights = Vec::new();
        let mut biases = Vec::new();
        for pair in widths.windows(2) {
            let limit = (6.0 / pair[0] as f32).sqrt();
            let values: Vec<f32> = (0..pair[0] * pair[1])
                .map(|_| random.random_range(-limit..limit))
                .collect();
            weights.push(Param::from_data(
                TensorData::new(values, [pair[0], pair[1]]),
                device,
            ));
            biases.push(Param::from_data(
                TensorData::new(vec![0.0f32; pair[1]], [pair[1]]),
                device,
            ));
        }
        Perceptron { weights, biases }
    }

    fn forward(&self, inputs: Tensor<2>) -> Tensor<2> {
        let mut current = inputs;
        for (index, (weights, bias)) in self.weights.iter().zip(&self.biases).enumerate() {
            current = current.matmul(weights.val()) + bias.val().unsqueeze();
            if index + 1 < self.weights.len() {
                current = relu(current);
            }
        }
        current
    }

    fn network(&self) -> Result<Network, TrainError> {
        let layer = |(weights, bias): (&Param<Tensor<2>>, &Param<Tensor<1>>)| {
            let [inputs, outputs] = weights.val().dims();
            let by_output = weights
                .val()
                .transpose()
                .into_data()
                .try_to_vec::<f32>()
                .map_err(refused)?;
            let bias = bias
                .val()
                .into_data()
                .try_to_vec::<f32>()
                .map_err(refused)?;
            Ok(Dense {
                inputs,
                outputs,
                weights: by_output,
                bias,
            })
        };
        let layers: Result<Vec<Dense>, TrainError> =
            self.weights.iter().zip(&self.biases).map(layer).collect();
        Ok(Network { layers: layers? })
    }
}

/// The only backend that is compiled in.
#[allow(deprecated)]
fn device() -> Device {
    Device::ndarray().autodiff()
}

fn refused(error: impl std::fmt::Debug) -> TrainError {
    TrainError::Library {
        what: "multilayer perceptron",
        reason: format!("{error:?}"),
    }
}
