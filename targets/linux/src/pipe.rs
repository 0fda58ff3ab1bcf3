//! A byte port inside the process: the runtime's link, fed by threads in place of a wire.
//!
//! Messages come from several connections and from the process itself. Each gets an id that differs
//! from the one before, so that the runtime never takes one peer's request for another's repeated.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::convert::Infallible;
use std::rc::Rc;

use dunlin_wire::frame::{self, CHECKSUM_BYTES, Decoder};
use dunlin_wire::limits::{MAX_FRAME_BYTES, MAX_MESSAGE_BYTES};
use dunlin_wire::link::{Message, MessageError, Reply, Request};
use embedded_io::{ErrorType, Read, ReadReady, Write, WriteReady};

#[derive(Debug, Default)]
struct Bytes {
    to_device: VecDeque<u8>,
    from_device: VecDeque<u8>,
}

/// The device's end.
#[derive(Debug)]
pub(crate) struct PipePort(Rc<RefCell<Bytes>>);

/// The process's end.
#[derive(Debug)]
pub(crate) struct Pipe {
    bytes: Rc<RefCell<Bytes>>,
    decoder: Decoder<Vec<u8>>,
    next_id: u16,
    /// The id that the message under way had when it came.
    asked_id: u16,
}

/// Both ends of a new pipe.
pub(crate) fn pipe() -> (Pipe, PipePort) {
    let bytes = Rc::new(RefCell::new(Bytes::default()));
    let port = PipePort(Rc::clone(&bytes));
    let decoder = Decoder::new(vec![0; MAX_MESSAGE_BYTES + CHECKSUM_BYTES]);
    (
        Pipe {
            bytes,
            decoder,
            next_id: 0,
            asked_id: 0,
        },
        port,
    )
}

impl Pipe {
    /// Sends a message to the device; `false` when it cannot be one, which nobody answers.
    pub fn send(&mut self, message: &[u8]) -> bool {
        let mut renumbered = vec![0; MAX_MESSAGE_BYTES];
        self.next_id = self.next_id.wrapping_add(1);
        let written = match Message::<Request<'_>>::decode(message) {
            Ok(Message { id, body }) => {
                self.asked_id = id;
                Message {
                    id: self.next_id,
                    body,
                }
                .encode(&mut renumbered)
                .ok()
            }
            Err(MessageError::Malformed { id: Some(id), .. }) => {
                self.asked_id = id;
                self.next_id = id;
                renumbered.get_mut(..message.len()).map(|place| {
                    place.copy_from_slice(message);
                    message.len()
                })
            }
            Err(_) => None,
        };
        let mut line = vec![0; MAX_FRAME_BYTES];
        let framed =
            written.and_then(|length| frame::encode(&renumbered[..length], &mut line).ok());
        if let Some(length) = framed {
            self.bytes.borrow_mut().to_device.extend(&line[..length]);
        }
        framed.is_some()
    }

    /// The device's answer to the message sent last, once it is whole.
    pub fn receive(&mut self) -> Option<Vec<u8>> {
        loop {
            let byte = self.bytes.borrow_mut().from_device.pop_front()?;
            let Ok(Some(message)) = self.decoder.push(byte) else {
                continue;
            };
            let mut answer = vec![0; MAX_MESSAGE_BYTES];
            let Ok(reply) = Message::<Reply<'_>>::decode(message) else {
                continue;
            };
            if reply.id != self.next_id {
                continue;
            }
            let Ok(length) = (Message {
                id: self.asked_id,
                ..reply
            })
            .encode(&mut answer) else {
                continue;
            };
            answer.truncate(length);
            return Some(answer);
        }
    }
}

impl ErrorType for PipePort {
    type Error = Infallible;
}

impl Read for PipePort {
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize, Infallible> {
        let queue = &mut self.0.borrow_mut().to_device;
        let length = buffer.len().min(queue.len());
        buffer
            .iter_mut()
            .zip(queue.drain(..length))
            .for_each(|(to, from)| *to = from);
        Ok(length)
    }
}

impl ReadReady for PipePort {
    fn read_ready(&mut self) -> Result<bool, Infallible> {
        Ok(!self.0.borrow().to_device.is_empty())
    }
}

impl Write for PipePort {
    fn write(&mut self, bytes: &[u8]) -> Result<usize, Infallible> {
        self.0.borrow_mut().from_device.extend(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> Result<(), Infallible> {
        Ok(())
    }
}

impl WriteReady for PipePort {
    fn write_ready(&mut self) -> Result<bool, Infallible> {
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(id: u16) -> Vec<u8> {
        let mut bytes = vec![0; 32];
        let length = Message {
            id,
            body: Request::Info,
        }
        .encode(&mut bytes)
        .expect("fits");
        bytes.truncate(length);
        bytes
    }

    /// What the device reads, unframed.
    fn next_at_device(port: &mut PipePort) -> Message<Request<'static>> {
        let mut decoder = Decoder::new(vec![0; 64]);
        loop {
            let mut byte = [0];
            assert_eq!(port.read(&mut byte), Ok(1), "a message is there");
            if let Ok(Some(message)) = decoder.push(byte[0]) {
                let id = Message::<Request<'_>>::decode(message)
                    .expect("a message")
                    .id;
                return Message {
                    id,
                    body: Request::Info,
                };
            }
        }
    }

    fn answer(port: &mut PipePort, id: u16) {
        let (mut message, mut line) = ([0; 32], [0; 64]);
        let length = Message {
            id,
            body: Reply::Time,
        }
        .encode(&mut message)
        .expect("fits");
        let length = frame::encode(&message[..length], &mut line).expect("fits");
        port.write(&line[..length]).expect("never fails");
    }

    #[test]
    fn equal_messages_reach_the_device_with_different_ids_and_are_answered_with_their_own() {
        let (mut pipe, mut port) = pipe();
        let mut ids = Vec::new();
        for _ in 0..3 {
            assert!(pipe.send(&request(7)));
            ids.push(next_at_device(&mut port).id);
            assert_eq!(pipe.receive(), None);
            answer(&mut port, ids[ids.len() - 1]);
            let reply = pipe.receive().expect("answered");
            let reply = Message::<Reply<'_>>::decode(&reply).expect("a reply");
            assert_eq!((reply.id, reply.body), (7, Reply::Time));
        }
        assert!(ids[0] != ids[1] && ids[1] != ids[2], "{ids:?}");
    }

    #[test]
    fn what_is_no_message_is_not_sent() {
        let (mut pipe, mut port) = pipe();
        assert!(!pipe.send(b""));
        assert_eq!(port.read_ready(), Ok(false));
    }
}
