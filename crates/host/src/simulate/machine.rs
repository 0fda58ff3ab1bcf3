//! The physics.

use std::f64::consts::TAU;

use super::random::Random;
use super::{CHANNELS, Condition, Phase};
use crate::recipe::Simulation;

const AXES: usize = CHANNELS.len();

/// Range of the accelerometer, ±16 g in m/s², and its step in 16 bits.
const FULL_SCALE: f64 = 16.0 * 9.80665;
const SENSOR_STEP: f64 = FULL_SCALE / 32768.0;

/// Resonance of the bearing housing in hertz and its damping ratio.
const RESONANCE_HZ: f64 = 620.0;
const RESONANCE_DAMPING: f64 = 0.05;

/// Twice the frequency of 50 Hz mains: the pull between stator and rotor of an induction motor.
const MAGNETIC_HZ: f64 = 100.0;

/// Share of the moving mass that is the rotor.
const ROTOR_SHARE: f64 = 0.5;

/// Acceleration of the first ring of the housing after a rolling element has passed a fault of
/// severity 1, in m/s².
const IMPACT: f64 = 9.0;

/// Velocity of the second harmonic at misalignment of severity 1, in m/s (root mean square): the
/// level at which ISO 20816-3 calls medium-sized machines unfit for long operation.
const MISALIGNMENT_VELOCITY: f64 = 0.0071;

/// How a rolling-element bearing is built.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bearing {
    /// Rolling elements.
    pub elements: u32,
    /// Diameter of a rolling element in millimetres.
    pub element_mm: f64,
    /// Diameter of the circle of their centres in millimetres.
    pub pitch_mm: f64,
    /// Contact angle in radians.
    pub contact_angle: f64,
}

/// A deep-groove ball bearing of type 6205.
pub const BEARING: Bearing = Bearing {
    elements: 9,
    element_mm: 7.94,
    pitch_mm: 39.04,
    contact_angle: 0.0,
};

impl Bearing {
    /// Rolling elements that pass a point of the outer race per turn of the shaft:
    /// n/2 · (1 - d/D · cos φ) (Harris, Rolling Bearing Analysis; Randall 2011, eq. 2.12).
    pub fn outer_passes_per_turn(&self) -> f64 {
        f64::from(self.elements) / 2.0
            * (1.0 - self.element_mm / self.pitch_mm * self.contact_angle.cos())
    }
}

/// One machine in one session: its own residual faults, mounting and moods.
///
/// Acceleration is the sum, per axis, of
/// - **imbalance**: a mass off the axis by e gives the force m·e·ω² once per turn, the same in both
///   radial directions a quarter turn apart; the housing's acceleration is e·ω² times the rotor's
///   share of the mass. e is given as the balance quality grade of ISO 21940-11, G = e·ω at the
///   session's own speed: 1 to 6.3 mm/s when healthy, 40 mm/s more at severity 1.
/// - **misalignment**: a coupling that is bent twice per turn shakes at 1× and 2×, along the shaft
///   as much as across it (ISO 13373-3; Harris' Shock and Vibration Handbook, ch. 16), with a weak 3×.
/// - **bearing wear**: each rolling element that passes the worn place of the outer race hits it; the
///   housing rings at its resonance and dies down. The intervals slip by a percent and the hits are
///   harder when the imbalance presses on that place (McFadden and Smith 1984; Randall and Antoni
///   2011). The rate is [`Bearing::outer_passes_per_turn`] × speed.
/// - **background**: weak 2× and 3× harmonics, the magnetic pull at twice the mains, white noise.
///
/// The speed wanders by 0.3 % (an Ornstein-Uhlenbeck process of one second); the load swings by a
/// tenth over 5 to 20 s and everything that the shaft makes with it. The sensor clips at ±16 g and
/// has 16 bits.
#[derive(Debug, Clone)]
pub struct Machine {
    random: Random,
    rate_hz: f64,
    noise: f64,
    nature: Nature,
    turn: f64,
    seconds: f64,
    wander: f64,
    until_hit: f64,
    ring: Ring,
}

/// What a session draws once.
#[derive(Debug, Clone)]
struct Nature {
    speed_hz: f64,
    residual_grade: f64,
    residual_misalignment: f64,
    harmonics: [f64; 2],
    magnetic: f64,
    gains: [f64; AXES],
    phases: [f64; 6],
    load_period_s: f64,
    severity: f64,
}

impl Nature {
    fn draw(settings: &Simulation, random: &mut Random) -> Self {
        Nature {
            speed_hz: settings.speed_hz * random.uniform(0.9, 1.1),
            residual_grade: random.uniform(1.0, 6.3),
            residual_misalignment: random.uniform(0.0, 0.2),
            harmonics: [random.uniform(0.05, 0.25), random.uniform(0.02, 0.12)],
            magnetic: random.uniform(0.05, 0.3),
            gains: [
                random.uniform(0.8, 1.2),
                random.uniform(0.6, 1.0),
                random.uniform(0.75, 1.25),
            ],
            phases: std::array::from_fn(|_| random.uniform(0.0, TAU)),
            load_period_s: random.uniform(5.0, 20.0),
            severity: random.uniform(0.0, 1.0),
        }
    }
}

impl Machine {
    /// The machine of a session. Equal settings and numbers give equal machines.
    pub fn start(settings: &Simulation, session: u32) -> Machine {
        let mut random = Random::of_session(settings.seed, session);
        let nature = Nature::draw(settings, &mut random);
        Machine {
            turn: nature.phases[0],
            seconds: 0.0,
            wander: 0.0,
            until_hit: 1.0,
            ring: Ring::new(f64::from(settings.rate_hz)),
            rate_hz: f64::from(settings.rate_hz),
            noise: settings.noise,
            nature,
            random,
        }
    }

    /// The severity this session has in a data set of the settings.
    pub(super) fn draw_severity(&self, settings: &Simulation) -> f64 {
        let [least, greatest] = settings.severity;
        least + (greatest - least) * self.nature.severity
    }

    /// The next `steps` samples, `[steps, 3]`, in m/s².
    pub fn window(&mut self, steps: usize, phase: &Phase) -> Vec<f32> {
        (0..steps).flat_map(|_| self.sample(phase)).collect()
    }

    fn sample(&mut self, phase: &Phase) -> [f32; AXES] {
        let fault = |condition| {
            if phase.condition == condition {
                phase.severity
            } else {
                0.0
            }
        };
        let load = 1.0
            + 0.1 * (TAU * self.seconds / self.nature.load_period_s + self.nature.phases[1]).sin();
        let speed_hz = self.advance(phase.speed, load);
        let shaft = self.imbalance(speed_hz, fault(Condition::Imbalance));
        let coupling = self.misalignment(speed_hz, fault(Condition::Misalignment));
        let background = self.background();
        let ring = self.bearing(speed_hz, fault(Condition::Bearing));
        std::array::from_fn(|axis| {
            let made = load * (shaft[axis] + coupling[axis] + ring[axis]) + background[axis];
            self.sense(self.nature.gains[axis] * made)
        })
    }

    /// Moves time and shaft on by one sample and gives the speed in hertz.
    fn advance(&mut self, speed: f64, load: f64) -> f64 {
        let dt = 1.0 / self.rate_hz;
        self.wander += -self.wander * dt + (2.0 * dt).sqrt() * self.random.gaussian();
        let slip = 1.0 - 0.05 * (load - 1.0);
        let speed_hz = self.nature.speed_hz * speed * slip * (1.0 + 0.003 * self.wander);
        self.turn = (self.turn + TAU * speed_hz * dt) % (TAU * 1000.0);
        self.seconds += dt;
        speed_hz
    }

    fn imbalance(&self, speed_hz: f64, severity: f64) -> [f64; AXES] {
        let grade = (self.nature.residual_grade + 40.0 * severity) / 1000.0;
        let eccentricity = grade / (TAU * self.nature.speed_hz);
        let amplitude = eccentricity * (TAU * speed_hz).powi(2) * ROTOR_SHARE;
        [
            amplitude * self.turn.cos(),
            amplitude * self.turn.sin(),
            0.08 * amplitude * self.turn.cos(),
        ]
    }

    fn misalignment(&self, speed_hz: f64, severity: f64) -> [f64; AXES] {
        let velocity =
            MISALIGNMENT_VELOCITY * (self.nature.residual_misalignment + severity) * 2.0_f64.sqrt();
        let [_, _, first, second, third, _] = self.nature.phases;
        let amplitude = |harmonic: f64| velocity * TAU * speed_hz * harmonic;
        let one = amplitude(1.0) * (self.turn + first).cos();
        let two = amplitude(2.0) * (2.0 * self.turn + second).cos();
        let three = amplitude(3.0) * (3.0 * self.turn + third).cos();
        [
            0.3 * one + 0.9 * two + 0.1 * three,
            0.3 * one + 0.7 * two + 0.1 * three,
            0.9 * one + 0.8 * two,
        ]
    }

    fn background(&self) -> [f64; AXES] {
        let [.., last] = self.nature.phases;
        let [second, third] = self.nature.harmonics;
        let shaft =
            second * (2.0 * self.turn + last).sin() + third * (3.0 * self.turn - last).sin();
        let magnetic = self.nature.magnetic * (TAU * MAGNETIC_HZ * self.seconds + last).sin();
        [shaft + magnetic, shaft + 0.8 * magnetic, 0.4 * shaft]
    }

    fn bearing(&mut self, speed_hz: f64, severity: f64) -> [f64; AXES] {
        self.until_hit -= BEARING.outer_passes_per_turn() * speed_hz / self.rate_hz;
        let mut hit = 0.0;
        if self.until_hit <= 0.0 {
            self.until_hit += 1.0 + 0.01 * self.random.gaussian();
            let pressed = 1.0 + 0.3 * self.turn.cos();
            hit = IMPACT * severity * pressed * (1.0 + 0.1 * self.random.gaussian());
        }
        let ring = self.ring.next(hit);
        [0.7 * ring, ring, 0.4 * ring]
    }

    fn sense(&mut self, acceleration: f64) -> f32 {
        let noisy = acceleration + self.noise * self.random.gaussian();
        let steps = (noisy / SENSOR_STEP)
            .round_ties_even()
            .clamp(-32768.0, 32767.0);
        (steps * SENSOR_STEP) as f32
    }
}

/// A damped oscillator with one degree of freedom, struck now and then: the impulse response
/// exp(-ζω·t)·sin(ω·t), sampled.
#[derive(Debug, Clone)]
struct Ring {
    feedback: [f64; 2],
    gain: f64,
    past: [f64; 2],
}

impl Ring {
    fn new(rate_hz: f64) -> Self {
        let angle = TAU * RESONANCE_HZ.min(0.45 * rate_hz) / rate_hz;
        let decay = (-RESONANCE_DAMPING * angle).exp();
        Ring {
            feedback: [2.0 * decay * angle.cos(), -decay * decay],
            gain: angle.sin(),
            past: [0.0; 2],
        }
    }

    fn next(&mut self, strike: f64) -> f64 {
        let [one, two] = self.past;
        let now = self.feedback[0] * one + self.feedback[1] * two + self.gain * strike;
        self.past = [now, one];
        now
    }
}
