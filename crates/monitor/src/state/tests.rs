extern crate std;

use super::*;
use crate::mock::{Flash, MockError, Random};
use std::vec::Vec;

const LONGEST: usize = 24;

struct Rig<const WRITE: usize, const ERASE: usize> {
    flash: Flash<WRITE, ERASE>,
    region: Region,
    random: Random,
    /// The value that a call returned `Ok` for, or a mount found.
    settled: Option<Vec<u8>>,
    /// The value of the write that the last cut interrupted.
    interrupted: Option<Vec<u8>>,
}

impl<const WRITE: usize, const ERASE: usize> Rig<WRITE, ERASE> {
    fn new(pages: u32, seed: u64, unstable: bool) -> Self {
        Self {
            flash: Flash::new(pages as usize, seed, unstable),
            region: Region {
                start: 0,
                page_bytes: ERASE as u32,
                pages,
            },
            random: Random::new(seed + 1),
            settled: None,
            interrupted: None,
        }
    }

    fn session(&mut self, fuel: Option<u64>, writes: u32) {
        self.flash.power_on(fuel);
        match self.act(writes) {
            Ok(()) | Err(StateError::Flash(MockError::PowerIsOff)) => {}
            Err(error) => panic!("{error:?}"),
        }
    }

    fn act(&mut self, writes: u32) -> Result<(), StateError<MockError>> {
        let mut state = StateLog::<LONGEST>::mount(&mut self.flash, self.region)?;
        let found = state.value().map(<[u8]>::to_vec);
        let known =
            found == self.settled || (self.interrupted.is_some() && found == self.interrupted);
        assert!(
            known,
            "{found:02x?}, not {:02x?} or {:02x?}",
            self.settled, self.interrupted
        );
        (self.settled, self.interrupted) = (found, None);
        for _ in 0..writes {
            let length = self.random.below(LONGEST as u64 + 1);
            let value = self.random.bytes(length as usize);
            self.interrupted = Some(value.clone());
            state.write(&mut self.flash, &value)?;
            assert_eq!(state.value(), Some(&value[..]));
            (self.settled, self.interrupted) = (Some(value), None);
        }
        Ok(())
    }
}

fn cut_everywhere_twice<const WRITE: usize, const ERASE: usize>(pages: u32, unstable: bool) {
    let mut cuts = 0;
    for first in 0.. {
        let mut finished = false;
        for second in 0.. {
            let mut rig = Rig::<WRITE, ERASE>::new(pages, first * 100_003 + second, unstable);
            rig.random = Random::new(11);
            rig.session(None, 3);
            rig.session(Some(first), 6);
            finished = rig.flash.has_power();
            rig.session(Some(second), 3);
            let last = rig.flash.has_power();
            rig.session(None, 1);
            rig.session(None, 0);
            cuts += 1;
            if last || finished {
                break;
            }
        }
        if finished {
            break;
        }
    }
    assert!(cuts > 100, "{cuts} pairs of cuts");
}

#[test]
fn survives_two_cuts_anywhere() {
    cut_everywhere_twice::<1, 256>(2, false);
    cut_everywhere_twice::<4, 256>(2, false);
    cut_everywhere_twice::<4, 256>(2, true);
    cut_everywhere_twice::<8, 256>(3, true);
    cut_everywhere_twice::<16, 256>(2, true);
}

#[test]
fn survives_sixty_cuts_in_a_row() {
    for seed in 0..100 {
        let mut rig = Rig::<4, 256>::new(2, seed, false);
        if seed % 3 == 0 {
            rig.flash.scribble();
        }
        for _ in 0..60 {
            let fuel = rig.random.below(16);
            rig.session(Some(fuel), 5);
        }
        rig.session(None, 5);
        rig.session(None, 0);
    }
}

#[test]
fn a_value_too_long_is_refused_and_the_old_one_stays() {
    let mut flash = Flash::<4, 256>::new(2, 1, false);
    let region = Region {
        start: 0,
        page_bytes: 256,
        pages: 2,
    };
    let mut state = StateLog::<8>::mount(&mut flash, region).expect("mounts");
    state.write(&mut flash, b"old").expect("power is on");
    assert_eq!(
        state.write(&mut flash, &[0; 9]),
        Err(StateError::ValueTooLong { limit: 8, got: 9 })
    );
    assert_eq!(state.value(), Some(&b"old"[..]));
}

#[test]
fn an_empty_value_is_not_no_value() {
    let mut flash = Flash::<4, 256>::new(2, 1, false);
    let region = Region {
        start: 0,
        page_bytes: 256,
        pages: 2,
    };
    let mut state = StateLog::<8>::mount(&mut flash, region).expect("mounts");
    state.write(&mut flash, b"").expect("power is on");
    assert_eq!(
        StateLog::<8>::mount(&mut flash, region)
            .expect("mounts")
            .value(),
        Some(&b""[..])
    );
}
