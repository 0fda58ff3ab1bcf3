//! Where samples come from.

/// A sensor, asked as often as the device is polled.
///
/// A driver over `embedded-hal` needs a few lines to be one: keep the time of the next
/// measurement, and answer [`Sampled::NotYet`] until then.
pub trait SampleSource {
    /// Values of one time step; `None` for a device without a sensor of its own, whose samples come
    /// over the link. A bundle whose schema has another number of channels is refused.
    fn channels(&self) -> Option<usize>;

    /// Writes the next time step to `step`, [`SampleSource::channels`] values in the schema's order
    /// and units, if it is time for one. Must not wait longer than one measurement takes.
    fn sample(&mut self, now_us: u64, step: &mut [f32]) -> Sampled;
}

/// What a [`SampleSource`] had.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sampled {
    /// It is not time yet.
    NotYet,
    /// A time step; a value that is missing is NaN.
    Step,
    /// It was time and the sensor failed; the step counts as missing in all channels.
    Failed,
}

/// No sensor: samples come over the link.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct NoSource;

impl SampleSource for NoSource {
    fn channels(&self) -> Option<usize> {
        None
    }

    fn sample(&mut self, _now_us: u64, _step: &mut [f32]) -> Sampled {
        Sampled::NotYet
    }
}
