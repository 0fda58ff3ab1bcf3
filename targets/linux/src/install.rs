//! A bundle from a file, put as a workstation would.

use dunlin_wire::limits::MAX_MESSAGE_BYTES;
use dunlin_wire::link::{MAX_OVERHEAD_BYTES, Reply, Request};
use dunlin_wire::{BundleId, bundle};

use crate::agent::{After, Agent, AgentSession};
use crate::log::log;

impl Agent {
    /// Puts and activates a bundle, unless it runs already.
    ///
    /// # Errors
    /// Why the device refuses it; it goes on with what it had.
    pub(crate) fn install(
        &mut self,
        session: &mut AgentSession<'_, '_>,
        file: &[u8],
    ) -> Result<After, String> {
        let id = bundle::digest(file)
            .ok()
            .map(|digest| BundleId(digest.prefix()));
        if id.is_some() && session.bundle() == id {
            return Ok(After::Continue);
        }
        self.put(session, file)?;
        let (outcome, after) = self.ask(session, Request::Activate, |reply| match reply {
            Reply::Activate { bundle } => Some(Ok(bundle)),
            Reply::Refused(refusal) => Some(Err(refusal.to_string())),
            _ => None,
        });
        let bundle = outcome.unwrap_or_else(|| Err("the device does not answer".into()))?;
        log(format_args!("bundle {bundle} runs"));
        Ok(after)
    }

    fn put(&mut self, session: &mut AgentSession<'_, '_>, file: &[u8]) -> Result<(), String> {
        let total_bytes = u32::try_from(file.len()).map_err(|_| "it is too long")?;
        let digest = bundle::digest(file).map_err(|error| error.to_string())?.0;
        let (held, _) = self.ask(
            session,
            Request::PutBegin {
                total_bytes,
                digest,
            },
            held_bytes,
        );
        let mut held = held.unwrap_or_else(|| Err("no answer".into()))?;
        while held < total_bytes {
            let end = (held as usize + MAX_MESSAGE_BYTES - MAX_OVERHEAD_BYTES).min(file.len());
            let bytes = file.get(held as usize..end).unwrap_or_default();
            let (now, _) = self.ask(
                session,
                Request::PutChunk {
                    offset: held,
                    bytes,
                },
                held_bytes,
            );
            match now.unwrap_or_else(|| Err("no answer".into()))? {
                now if now > held => held = now,
                _ => return Err(format!("it does not get beyond byte {held}")),
            }
        }
        Ok(())
    }
}

fn held_bytes(reply: Reply<'_>) -> Option<Result<u32, String>> {
    match reply {
        Reply::PutBegin { held_bytes } | Reply::PutChunk { held_bytes } => Some(Ok(held_bytes)),
        Reply::Refused(refusal) => Some(Err(refusal.to_string())),
        _ => None,
    }
}
