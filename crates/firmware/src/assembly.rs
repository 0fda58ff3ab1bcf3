//! What a board brings, put together into a device.

use crate::flash::{Chip, Meanwhile, Partition};
use dunlin_runtime::{
    Buffers, EngineBackend, Parts, Port, Profile, RECEIVE_BYTES, Regions, SampleSource,
};
use dunlin_wire::limits::{MAX_FRAME_BYTES, MAX_MESSAGE_BYTES};
use dunlin_wire::provision::Provision;
use dunlin_wire::record::ResetReason;
use dunlin_wire::{Digest, FirmwareId};

/// The kernel class that [`EngineBackend`] runs.
pub const KERNEL_CLASS: &str = "reference";

/// All the memory a device works in: `ARENA` bytes for models, `INPUT` values of the longest input
/// (steps × channels), `OUTPUT` bytes of the longest output, and 10 kB for messages.
///
/// The arena stands first, where it suits every kernel.
#[derive(Debug)]
#[repr(C, align(16))]
pub struct Memory<const ARENA: usize, const INPUT: usize, const OUTPUT: usize> {
    arena: [u8; ARENA],
    input: [f32; INPUT],
    output: [u8; OUTPUT],
    receive: [u8; RECEIVE_BYTES],
    reply: [u8; MAX_MESSAGE_BYTES],
    transmit: [u8; MAX_FRAME_BYTES],
}

impl<const ARENA: usize, const INPUT: usize, const OUTPUT: usize> Memory<ARENA, INPUT, OUTPUT> {
    /// Zeros.
    pub const fn new() -> Self {
        Self {
            arena: [0; ARENA],
            input: [0.0; INPUT],
            output: [0; OUTPUT],
            receive: [0; RECEIVE_BYTES],
            reply: [0; MAX_MESSAGE_BYTES],
            transmit: [0; MAX_FRAME_BYTES],
        }
    }
}

impl<const ARENA: usize, const INPUT: usize, const OUTPUT: usize> Default
    for Memory<ARENA, INPUT, OUTPUT>
{
    fn default() -> Self {
        Self::new()
    }
}

/// What a board brings.
#[derive(Debug)]
pub struct Assembly<'d, C, W, P, S, const ARENA: usize, const INPUT: usize, const OUTPUT: usize> {
    /// Name of the target; bundles for another are refused.
    pub target: &'d str,
    /// Code and constants of this firmware; its identity is their hash.
    pub image: &'d [u8],
    /// Bytes of stack a model may use.
    pub model_stack_bytes: usize,
    /// Why the board started.
    pub reset_reason: ResetReason,
    /// The provisioning block, or erased flash.
    pub provision: &'d [u8],
    /// What is written.
    pub regions: Regions<Partition<C, W>>,
    /// The link.
    pub port: P,
    /// The sensor.
    pub source: S,
    /// Memory to work in.
    pub memory: &'d mut Memory<ARENA, INPUT, OUTPUT>,
}

impl<'d, C, W, P, S, const ARENA: usize, const INPUT: usize, const OUTPUT: usize>
    Assembly<'d, C, W, P, S, ARENA, INPUT, OUTPUT>
where
    C: Chip,
    W: Meanwhile,
    P: Port,
    S: SampleSource,
{
    /// The parts of the device. Costs a hash over the image.
    pub fn parts(self) -> Parts<'d, Partition<C, W>, P, S, EngineBackend> {
        let memory = self.memory;
        Parts {
            provision: provision(self.provision),
            profile: Profile {
                target: self.target,
                kernel_class: KERNEL_CLASS,
                firmware: firmware_id(self.image),
                arena_bytes: ARENA,
                stack_bytes: self.model_stack_bytes,
                reset_reason: self.reset_reason,
            },
            regions: self.regions,
            port: self.port,
            source: self.source,
            backend: EngineBackend,
            buffers: Buffers {
                arena: &mut memory.arena,
                input: &mut memory.input,
                output: &mut memory.output,
                receive: &mut memory.receive,
                reply: &mut memory.reply,
                transmit: &mut memory.transmit,
            },
        }
    }
}

/// Who the board is. One without a provisioning block is device 0, which trusts nobody: it answers,
/// records nothing, and refuses every bundle.
pub fn provision(block: &[u8]) -> Provision {
    Provision::parse(block).unwrap_or_else(|_| Provision::unprovisioned())
}

/// The first bytes of a hash over a firmware's code and constants.
pub fn firmware_id(image: &[u8]) -> FirmwareId {
    let Digest(digest) = Digest::of(image);
    FirmwareId(digest.first_chunk().copied().unwrap_or_default())
}

/// What a register of reset reasons says: the first of `bits` that is set. Nothing set means that
/// power came; something set that is not listed is unknown.
pub fn reset_reason(register: u32, bits: &[(u32, ResetReason)]) -> ResetReason {
    let listed = bits.iter().find(|(bit, _)| register & bit != 0);
    match (register, listed) {
        (0, _) => ResetReason::POWER,
        (_, Some((_, reason))) => *reason,
        (_, None) => ResetReason::UNKNOWN,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use dunlin_wire::DeviceId;
    use dunlin_wire::PublicKey;
    use dunlin_wire::credential::Credential;
    use dunlin_wire::provision::MAX_PROVISION_BYTES;

    #[test]
    fn a_block_says_who_the_board_is_and_anything_else_is_nobody() {
        let somebody = Provision {
            device: DeviceId([7; 8]),
            credential: Credential([9; 32]),
            trusted: [PublicKey([3; 32])].into_iter().collect(),
        };
        let mut page = [0xff; MAX_PROVISION_BYTES];
        let length = somebody.encode(&mut page).expect("fits");
        assert_eq!(provision(&page[..length]), somebody);
        page[length / 2] ^= 1;
        for block in [&page[..], &[0xff; 4096], &[]] {
            let nobody = provision(block);
            assert_eq!((nobody.device, nobody.trusted.len()), (DeviceId([0; 8]), 0));
        }
    }

    #[test]
    fn firmware_differs_by_every_bit_of_its_image() {
        let (mut image, whole) = ([5; 1000], firmware_id(&[5; 1000]));
        image[999] ^= 0x80;
        assert_ne!(firmware_id(&image), whole);
        assert_ne!(firmware_id(&image[..999]), whole);
    }

    #[test]
    fn the_first_listed_reason_counts_and_nothing_set_is_power() {
        let bits = [
            (1, ResetReason::EXTERNAL),
            (2, ResetReason::WATCHDOG),
            (4, ResetReason::SOFTWARE),
        ];
        assert_eq!(reset_reason(0, &bits), ResetReason::POWER);
        assert_eq!(reset_reason(6, &bits), ResetReason::WATCHDOG);
        assert_eq!(reset_reason(5, &bits), ResetReason::EXTERNAL);
        assert_eq!(reset_reason(8, &bits), ResetReason::UNKNOWN);
    }
}
