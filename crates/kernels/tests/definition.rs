//! Every loop of this machine against a plain definition in 64-bit integers.
//!
//! `DUNLIN_CASES` sets another number of cases of each loop for a longer hunt. The emulated core runs the same cases,
//! see `tests/firmware`.

mod support;

use support::{Difference, LOOPS, Memory, check};

const CASES: u32 = 3000;

/// Runs cases of every loop and gives the bytes that each wrote.
fn check_all(cases: u32, memory: &mut Memory) -> Result<Vec<(&'static str, usize)>, Difference> {
    let mut written = Vec::new();
    for this in LOOPS {
        let bytes = (0..cases).map(|case| check(this, case, memory));
        written.push((this.0, bytes.sum::<Result<usize, Difference>>()?));
    }
    Ok(written)
}

#[test]
fn every_loop_equals_its_definition() {
    let set = std::env::var("DUNLIN_CASES").ok();
    let cases = set.and_then(|number| number.parse().ok()).unwrap_or(CASES);
    let mut memory = Box::new(Memory::new());
    let written = check_all(cases, &mut memory);
    let written = written.unwrap_or_else(|difference| {
        let Difference {
            name,
            case,
            byte,
            got,
            expected,
        } = difference;
        panic!("{name}, case {case}, byte {byte}: {got} in place of {expected}");
    });
    for (name, bytes) in written {
        eprintln!("{name}: {bytes} bytes equal");
        assert!(2 * bytes > cases as usize, "{name} wrote hardly anything");
    }
}

#[test]
fn results_are_seldom_at_the_ends_of_their_range() {
    let mut memory = Box::new(Memory::new());
    let (mut inside, mut all) = (0, 0);
    for case in 0..500 {
        check(LOOPS[0], case, &mut memory).expect("equal");
        let written = memory.expected.0.iter().filter(|&&byte| byte != 0xA5);
        for byte in written {
            all += 1;
            inside += usize::from(![0x80, 0x7F, 0, 0xFF].contains(byte));
        }
    }
    assert!(inside * 3 > all, "{inside} of {all}");
}
