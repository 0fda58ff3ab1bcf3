//! The loop that a firmware never leaves.

use core::ops::ControlFlow;
use dunlin_runtime::{Backend, Board, Device, MappedFlash, Next, Port, SampleSource};

/// What a board does beside telling the time.
pub trait Platform: Board {
    /// What the loop ends with: [`core::convert::Infallible`] on a board, whose loop never does.
    type End;

    /// Tells the watchdog that the loop still turns. Called nowhere else than in [`run`], once a turn,
    /// so that a board that hangs anywhere is reset.
    fn feed_watchdog(&mut self);

    /// There is nothing to do at this moment: may sleep until a byte comes or the sensor is due.
    fn rest(&mut self) -> ControlFlow<Self::End>;
}

/// Runs the device: takes up a bundle, serves link and sensor, takes up the next bundle.
///
/// A turn takes as long as what a message asks for; the longest is an activation, which verifies a
/// bundle and runs its golden vectors.
pub fn run<F, P, S, B, T>(device: &mut Device<'_, F, P, S, B>, platform: &mut T) -> T::End
where
    F: MappedFlash,
    P: Port,
    S: SampleSource,
    B: Backend,
    T: Platform,
{
    loop {
        platform.feed_watchdog();
        let mut session = device.session();
        while session.poll(platform) == Next::Continue {
            platform.feed_watchdog();
            if let ControlFlow::Break(end) = platform.rest() {
                return end;
            }
        }
    }
}
