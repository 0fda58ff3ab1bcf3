//! Serves the link: frames in, the device's answers out.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use dunlin_wire::frame::{self, CHECKSUM_BYTES, Decoder};
use dunlin_wire::limits::{MAX_FRAME_BYTES, MAX_MESSAGE_BYTES};

use crate::address::{Listener, Stream};
use crate::events::{Asker, Gone};
use crate::log::log;

/// Connections that are served at once; one more is closed as it comes.
pub(crate) const MAX_CONNECTIONS: usize = 16;
/// Pause after a connection that could not be accepted.
pub(crate) const ACCEPT_PAUSE: Duration = Duration::from_millis(200);

/// Serves whoever connects, in threads. One that is silent for longer than `idle` is let go: a peer
/// that died without a word would keep its place for ever.
///
/// # Errors
/// When the system gives no thread.
pub(crate) fn serve(listener: Listener, device: Asker, idle: Duration) -> io::Result<()> {
    thread::Builder::new().name("link".into()).spawn(move || {
        let open = Arc::new(AtomicUsize::new(0));
        loop {
            let accepted = listener.accept().and_then(|stream| {
                stream.limit_waits(idle)?;
                admit(stream, &open, &device)
            });
            if let Err(error) = accepted {
                log(format_args!("{}: {error}", listener.address()));
                thread::sleep(ACCEPT_PAUSE);
            }
        }
    })?;
    Ok(())
}

fn admit(stream: Box<dyn Stream>, open: &Arc<AtomicUsize>, device: &Asker) -> io::Result<()> {
    let place = Place::take(open).ok_or_else(|| {
        io::Error::other(format!(
            "{MAX_CONNECTIONS} connections are open, no more until one is closed or idle for too long"
        ))
    })?;
    let device = device.clone();
    thread::Builder::new()
        .name("connection".into())
        .spawn(move || {
            let _place = place;
            let _ = converse(stream, &device);
        })?;
    Ok(())
}

/// One of the places for connections; free again when it is dropped.
struct Place(Arc<AtomicUsize>);

impl Place {
    fn take(open: &Arc<AtomicUsize>) -> Option<Self> {
        let is_free = open.fetch_add(1, Ordering::Relaxed) < MAX_CONNECTIONS;
        let place = Self(Arc::clone(open));
        is_free.then_some(place)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The last exchange of a connection: a request that comes again gets the same answer again.
#[derive(Default)]
struct Exchange {
    message: Vec<u8>,
    reply: Vec<u8>,
}

/// Answers until the other end closes, or says nothing for too long. What is no frame is passed over: the other end asks again.
fn converse(mut stream: Box<dyn Stream>, device: &Asker) -> io::Result<()> {
    let mut decoder = Decoder::new(vec![0; MAX_MESSAGE_BYTES + CHECKSUM_BYTES]);
    let mut received = [0; 4096];
    let mut line = vec![0; MAX_FRAME_BYTES];
    let mut last = Exchange::default();
    loop {
        let length = match stream.read(&mut received) {
            Ok(0) => return Ok(()),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            other => other?,
        };
        for byte in &received[..length] {
            let Ok(Some(message)) = decoder.push(*byte) else {
                continue;
            };
            if message != last.message {
                let asked = device.ask(message.to_vec(), false).map_err(closing)?;
                let Some(reply) = asked else { continue };
                last = Exchange {
                    message: message.to_vec(),
                    reply,
                };
            }
            let framed = frame::encode(&last.reply, &mut line).map_err(io::Error::other)?;
            stream.write_all(&line[..framed])?;
        }
    }
}

fn closing(Gone: Gone) -> io::Error {
    io::Error::other("the device is closing")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_taken_before_its_thread_runs_and_freed_once() {
        let open = Arc::new(AtomicUsize::new(0));
        let mut places: Vec<_> = (0..MAX_CONNECTIONS).map(|_| Place::take(&open)).collect();
        assert!(places.iter().all(Option::is_some));
        assert!(Place::take(&open).is_none());
        assert_eq!(open.load(Ordering::Relaxed), MAX_CONNECTIONS);
        places.pop();
        assert!(Place::take(&open).is_some());
        drop(places);
        assert_eq!(open.load(Ordering::Relaxed), 0);
    }
}
