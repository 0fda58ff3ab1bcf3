//! What the device's thread is told, and by whom.
//!
//! One thread owns the device; connections, sample sources and the upload ask it through one bounded
//! queue. A full queue slows the one who asks and nobody else.

use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use crate::samples::{Sample, Shape};

/// Events that may wait.
const QUEUE: usize = 64;

/// Something for the device's thread.
#[derive(Debug)]
pub(crate) enum Event {
    /// A link message to be answered with one. One that is none is not answered.
    Message {
        message: Vec<u8>,
        reply: SyncSender<Vec<u8>>,
        /// Whether the process itself asks.
        is_own: bool,
    },
    /// A model input.
    Sample(Sample),
    /// A line that could not be read.
    BadLine,
    /// Standard input has ended.
    InputEnded,
    /// End cleanly.
    Stop,
}

/// The way to the device's thread.
#[derive(Debug, Clone)]
pub(crate) struct Asker {
    queue: SyncSender<Event>,
}

/// The device's thread is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Gone;

/// A queue to the device's thread.
pub(crate) fn queue() -> (Asker, Inbox) {
    let (queue, inbox) = sync_channel(QUEUE);
    (Asker { queue }, Inbox { inbox })
}

/// The device's end of the queue.
#[derive(Debug)]
pub(crate) struct Inbox {
    inbox: Receiver<Event>,
}

impl Inbox {
    /// The next event, `None` when there was none for as long as `patience`. When nobody is left who
    /// could ask, that is a [`Event::Stop`].
    pub fn next(&self, patience: Duration) -> Option<Event> {
        match self.inbox.recv_timeout(patience) {
            Ok(event) => Some(event),
            Err(RecvTimeoutError::Timeout) => None,
            Err(RecvTimeoutError::Disconnected) => Some(Event::Stop),
        }
    }
}

impl Asker {
    /// Tells; waits while the queue is full.
    pub fn tell(&self, event: Event) -> Result<(), Gone> {
        self.queue.send(event).map_err(|_| Gone)
    }

    /// Asks with a link message and waits for the answer.
    ///
    /// `Ok(None)`: the message is none, and nobody answers it.
    pub fn ask(&self, message: Vec<u8>, is_own: bool) -> Result<Option<Vec<u8>>, Gone> {
        let (reply, answer) = sync_channel(1);
        self.tell(Event::Message {
            message,
            reply,
            is_own,
        })?;
        Ok(answer.recv().ok())
    }
}

/// The shape of the model that runs, for those who read samples.
#[derive(Debug, Clone, Default)]
pub(crate) struct CurrentShape {
    shared: Arc<(Mutex<Option<Arc<Shape>>>, Condvar)>,
}

impl CurrentShape {
    /// Another model runs, or none.
    pub fn set(&self, shape: Option<Shape>) {
        let (shape_now, changed) = &*self.shared;
        let mut now = shape_now.lock().unwrap_or_else(PoisonError::into_inner);
        if now.as_deref() != shape.as_ref() {
            *now = shape.map(Arc::new);
            changed.notify_all();
        }
    }

    /// The shape, as soon as there is one.
    pub fn wait(&self) -> Arc<Shape> {
        let (shape_now, changed) = &*self.shared;
        let mut now = shape_now.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            match &*now {
                Some(shape) => return Arc::clone(shape),
                None => now = changed.wait(now).unwrap_or_else(PoisonError::into_inner),
            }
        }
    }
}
