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

/// What the perceptron learns from.
pub(super) struct Lesson<'a> {
    pub(super) settings: &'a Mlp,
    pub(super) seed: u64,
    pub(super) train: &'a Labelled,
    pub(super) validation: &'a Labelled,
    pub(super) classes: usize,
}

/// Fits the layers that the settings name, and an output layer with a neuron for each class.
///
/// # Errors
/// [`TrainError::Diverged`] when a loss stops being a number, [`TrainError::Library`] when burn fails.
pub(super) fn fit(
    lesson: &Lesson<'_>,
    report: &mut dyn FnMut(Progress),
) -> Result<Fitted, TrainError> {
    let settings = lesson.settings;
    let mut learner = Learner::new(lesson);
    let mut best = Best {
        loss: f64::INFINITY,
        network: learner.model.network()?,
        epoch: 0,
    };
    let mut curve = Vec::new();
    for epoch in 1..=settings.max_epochs {
        let (next, train_loss) = learner.pass()?;
        learner = next;
        let network = learner.model.network()?;
        let validation_loss = log_loss(&network, lesson.validation);
        if !train_loss.is_finite() || !validation_loss.is_finite() {
            return Err(TrainError::Diverged { epoch });
        }
        curve.push(Epoch {
            epoch,
            train_loss,
            validation_loss,
        });
        report(progress(curve.last(), settings.max_epochs));
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

fn progress(last: Option<&Epoch>, total: usize) -> Progress {
    Progress {
        done: last.map_or(0, |epoch| epoch.epoch),
        total,
        train_loss: last.map(|epoch| epoch.train_loss),
        validation_loss: last.map(|epoch| epoch.validation_loss),
    }
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

/// The layers in training, with everything that changes from pass to pass.
struct Learner<'a> {
    model: Perceptron,
    optimizer: ModuleOptimizer,
    order: Vec<usize>,
    random: ChaCha8Rng,
    device: Device,
    lesson: &'a Lesson<'a>,
}

impl<'a> Learner<'a> {
    fn new(lesson: &'a Lesson<'a>) -> Learner<'a> {
        let mut random = ChaCha8Rng::seed_from_u64(lesson.seed);
        let device = device();
        let widths: Vec<usize> = std::iter::once(lesson.train.values.width)
            .chain(lesson.settings.hidden.iter().copied())
            .chain([lesson.classes])
            .collect();
        Learner {
            model: Perceptron::new(&widths, &mut random, &device),
            optimizer: AdamWConfig::new()
                .with_weight_decay(lesson.settings.weight_decay as f32)
                .init(),
            order: (0..lesson.train.values.rows()).collect(),
            random,
            device,
            lesson,
        }
    }

    /// One pass in a new order, and the mean loss on the way.
    fn pass(mut self) -> Result<(Self, f64), TrainError> {
        self.order.shuffle(&mut self.random);
        let cross_entropy = CrossEntropyLossConfig::new().init(&self.device);
        let (settings, train) = (self.lesson.settings, self.lesson.train);
        let mut sum = 0.0;
        for rows in self.order.chunks(settings.batch) {
            let (inputs, targets) = batch(train, rows, &self.device);
            let loss = cross_entropy.forward(self.model.forward(inputs), targets);
            sum += rows.len() as f64 * number(&loss)?;
            let gradients = GradientsParams::from_grads(loss.backward(), &self.model);
            self.model = self
                .optimizer
                .step(settings.learning_rate, self.model, gradients);
        }
        let mean = sum / self.order.len() as f64;
        Ok((self, mean))
    }
}

/// The only value of a tensor; NaN of an empty one.
fn number(tensor: &Tensor<1>) -> Result<f64, TrainError> {
    let values = tensor.clone().into_data().try_to_vec::<f32>();
    let first = values.map_err(refused)?.first().copied();
    Ok(f64::from(first.unwrap_or(f32::NAN)))
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
    fn new(widths: &[usize], random: &mut ChaCha8Rng, device: &Device) -> Perceptron {
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
