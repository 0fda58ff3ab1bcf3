//! The upload's view of the device: records out, acknowledgements in.

use dunlin_wire::limits::MAX_MESSAGE_BYTES;
use dunlin_wire::link::{Message, Records, Reply, Request};
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

impl DeviceRecords {
    /// One page as the device packs it, and whether it has more.
    fn page(&self, since: u32) -> Result<(Vec<u8>, bool), Closing> {
        let page = self.ask(
            Request::RecordsSince { sequence: since },
            |reply| match reply {
                Reply::Records { records, more } => Some((records.packed.to_vec(), more)),
                _ => None,
            },
        )?;
        Ok(page.unwrap_or_default())
    }
}

/// Bytes of records from which on a message takes no further page. Several records in a message are
/// what lets the collector see a good one behind a damaged one.
const ENOUGH_BYTES: usize = 64 * 1024;
/// Pages asked for one message, at most.
const MAX_PAGES: usize = 256;

/// Adds page after page, as `page` gives them with whether there is more, until there are enough
/// bytes or no more records. A page that tells no number above `sequence` is passed by asking for
/// what comes after the next number.
fn gather(
    sequence: u32,
    mut page: impl FnMut(u32) -> Result<(Vec<u8>, bool), Closing>,
) -> Result<Batch, Closing> {
    let mut batch = Batch {
        packed: Vec::new(),
        last: sequence,
    };
    let mut previous = Vec::new();
    for _ in 0..MAX_PAGES {
        let (packed, more) = page(batch.last)?;
        if packed != previous {
            batch.packed.extend_from_slice(&packed);
        }
        if !packed.is_empty() {
            batch.last = last_number(&packed, batch.last);
        }
        if !more || batch.packed.len() >= ENOUGH_BYTES {
            break;
        }
        previous = packed;
    }
    Ok(batch)
}

/// The highest number that a record of the page tells, or the one after `since`.
fn last_number(packed: &[u8], since: u32) -> u32 {
    let numbers = Records { packed }
        .iter()
        .filter_map(|record| Some(Record::parse(record).ok()?.0.header().sequence));
    numbers
        .max()
        .filter(|last| *last > since)
        .unwrap_or(since.saturating_add(1))
}

impl RecordSource for DeviceRecords {
    fn records_since(&mut self, sequence: u32) -> Result<Batch, Closing> {
        gather(sequence, |since| self.page(since))
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

#[cfg(test)]
mod tests {
    use super::*;
    use dunlin_wire::credential::Credential;
    use dunlin_wire::record::{self, Boot, Header};

    fn good(sequence: u32) -> Vec<u8> {
        let header = Header {
            sequence,
            ..Header::default()
        };
        let mut bytes = vec![0; 128];
        let length =
            record::encode(&header, &Boot::default(), &Credential([1; 32]), &mut bytes).unwrap();
        bytes.truncate(length);
        bytes
    }

    fn packed(record: &[u8]) -> Vec<u8> {
        let length = (record.len() as u16).to_le_bytes();
        length.into_iter().chain(record.iter().copied()).collect()
    }

    /// Hands out one record per page.
    fn gathered(records: &[(u32, Vec<u8>)]) -> Batch {
        let page = |since| {
            let mut later = records.iter().filter(|(number, _)| *number > since);
            let page = later
                .next()
                .map(|(_, record)| packed(record))
                .unwrap_or_default();
            Ok((page, later.next().is_some()))
        };
        gather(0, page).unwrap()
    }

    #[test]
    fn a_message_takes_several_pages() {
        let records: Vec<_> = (3..8).map(|number| (number, good(number))).collect();
        let batch = gathered(&records);
        let all: Vec<u8> = records
            .iter()
            .flat_map(|(_, record)| packed(record))
            .collect();
        assert_eq!((batch.packed, batch.last), (all, 7));
    }

    #[test]
    fn a_record_that_cannot_be_read_is_sent_once_with_those_behind_it() {
        let records = [(4, b"not a record".to_vec()), (5, good(5)), (6, good(6))];
        let batch = gathered(&records);
        let all: Vec<u8> = records
            .iter()
            .flat_map(|(_, record)| packed(record))
            .collect();
        assert_eq!((batch.packed, batch.last), (all, 6));
    }

    #[test]
    fn a_message_is_bounded() {
        let records: Vec<_> = (1..5000).map(|number| (number, good(number))).collect();
        let batch = gathered(&records);
        assert!(batch.packed.len() < 2 * ENOUGH_BYTES && batch.last < 4999);
        assert!(gathered(&[]).packed.is_empty());
    }
}
