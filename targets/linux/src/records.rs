//! The upload's view of the device: records out, acknowledgements in.

use dunlin_wire::limits::MAX_MESSAGE_BYTES;
use dunlin_wire::link::{Message, Reply, Request};
use dunlin_wire::record::Record;

use crate::events::Asker;
use crate::upload::{Batch, Closing, RecordSource};

/// Asks the device's thread as a workstation would.
pub(crate) struct DeviceRecords(pub Asker);

impl DeviceRecords {
    fn ask<T>(
        &self,
        request: Request<'_>,
        read: impl FnOnce(Reply<'_>) -> Option<T>,
    ) -> Result<Option<T>, Closing> {
        let mut message = vec![0; MAX_MESSAGE_BYTES];
        let length = Message {
            id: 0,
            body: request,
        }
        .encode(&mut message)
        .unwrap_or(0);
        message.truncate(length);
        let answer = self
            .0
            .ask(message, true)
            .map_err(|_| Closing)?
            .unwrap_or_default();
        let reply = Message::<Reply<'_>>::decode(&answer).ok();
        Ok(reply.and_then(|reply| read(reply.body)))
    }
}

impl RecordSource for DeviceRecords {
    fn records_since(&mut self, sequence: u32) -> Result<Batch, Closing> {
        let batch = self.ask(Request::RecordsSince { sequence }, |reply| match reply {
            Reply::Records { records, .. } => {
                let last = records
                    .iter()
                    .last()
                    .and_then(|record| Record::parse(record).ok());
                let last = last.map_or(sequence, |(record, _)| record.header().sequence);
                Some(Batch {
                    packed: records.packed.to_vec(),
                    last,
                })
            }
            _ => None,
        })?;
        Ok(batch.unwrap_or(Batch {
            packed: Vec::new(),
            last: sequence,
        }))
    }

    fn acknowledge(&mut self, up_to: u32, tag: [u8; 16]) -> Result<Result<u32, String>, Closing> {
        let answer = self.ask(Request::Acknowledge { up_to, tag }, |reply| match reply {
            Reply::Acknowledge { up_to } => Some(Ok(up_to)),
            Reply::Refused(refusal) => Some(Err(refusal.to_string())),
            _ => None,
        })?;
        Ok(answer.unwrap_or_else(|| Err("the device gave no answer".into())))
    }
}
