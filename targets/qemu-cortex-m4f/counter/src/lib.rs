//! QEMU plugin that counts how often every instruction runs between two marks.
//!
//! Runs inside `qemu-system-arm`, on the workstation. `cargo xtask bench` builds it, `dunlin bench` loads it:
//!
//! ```text
//! -plugin libdunlin_counter.so,begin=0x401,end=0x403,out=counts.txt
//! ```
//!
//! A bracket opens when the instruction at `begin` runs, which belongs to it, and closes when the one at `end` runs,
//! which does not. For every bracket `out` gets a line `bracket INSTRUCTIONS`, then one line `ADDRESS COUNT` for every
//! instruction that ran in it, both hexadecimal addresses and decimal counts. An instruction that a condition skips
//! counts, as it takes its cycle.
//!
//! Costs one call per executed instruction.
//!
//! # Architecture invariants
//! - Only the part of QEMU's plugin interface that no version has changed; which number of the interface it asks for
//!   is `DUNLIN_QEMU_PLUGIN_API` when it is built.
//! - One emulated processor.

use std::collections::BTreeMap;
use std::ffi::{CStr, c_char, c_int, c_uint, c_void};
use std::fs::File;
use std::io::Write;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, OnceLock};

/// A block of translated code; QEMU's.
#[repr(C)]
pub struct Block([u8; 0]);

/// An instruction of a block; QEMU's.
#[repr(C)]
pub struct Instruction([u8; 0]);

type OnTranslated = extern "C" fn(u64, *mut Block);
type OnExecuted = extern "C" fn(c_uint, *mut c_void);

/// The callbacks read no registers.
const NO_REGISTERS: c_int = 0;

unsafe extern "C" {
    fn qemu_plugin_register_vcpu_tb_trans_cb(plugin: u64, callback: OnTranslated);
    fn qemu_plugin_tb_n_insns(block: *const Block) -> usize;
    fn qemu_plugin_tb_get_insn(block: *const Block, index: usize) -> *mut Instruction;
    fn qemu_plugin_insn_vaddr(instruction: *const Instruction) -> u64;
    fn qemu_plugin_register_vcpu_insn_exec_cb(
        instruction: *mut Instruction,
        callback: OnExecuted,
        registers: c_int,
        user: *mut c_void,
    );
}

/// The version of the plugin interface that this plugin is made for.
#[unsafe(no_mangle)]
#[allow(non_upper_case_globals)]
pub static qemu_plugin_version: c_int = match option_env!("DUNLIN_QEMU_PLUGIN_API") {
    Some(version) => version.as_bytes()[0] as c_int - b'0' as c_int,
    None => 1,
};

/// How often one translation of an instruction ran.
struct Counter {
    address: u64,
    count: AtomicU64,
}

struct Counting {
    begin: u64,
    end: u64,
    out: File,
    counters: Vec<&'static Counter>,
}

impl Counting {
    /// From the arguments `begin=ADDRESS`, `end=ADDRESS` and `out=FILE`.
    fn new(arguments: &[String]) -> Option<Self> {
        let value = |key: &str| {
            let of_key =
                |argument: &String| Some(argument.strip_prefix(key)?.strip_prefix('=')?.to_owned());
            arguments.iter().find_map(of_key)
        };
        let address = |key| {
            let text = value(key)?;
            // The lowest bit of a function's address says that it is Thumb code.
            Some(u64::from_str_radix(text.trim_start_matches("0x"), 16).ok()? & !1)
        };
        Some(Self {
            begin: address("begin")?,
            end: address("end")?,
            out: File::create(value("out")?).ok()?,
            counters: Vec::new(),
        })
    }

    fn open(&self) {
        for counter in &self.counters {
            counter.count.store(0, Ordering::Relaxed);
        }
    }

    fn close(&mut self) -> std::io::Result<()> {
        let mut counts = BTreeMap::<u64, u64>::new();
        for counter in &self.counters {
            *counts.entry(counter.address).or_default() += counter.count.load(Ordering::Relaxed);
        }
        counts.retain(|_, count| *count > 0);
        let mut text = format!("bracket {}\n", counts.values().sum::<u64>());
        for (address, count) in counts {
            text += &format!("{address:x} {count}\n");
        }
        self.out.write_all(text.as_bytes())
    }
}

static COUNTING: OnceLock<Mutex<Counting>> = OnceLock::new();

fn with_counting(work: impl FnOnce(&mut Counting)) {
    let counting = COUNTING.get().map(Mutex::lock);
    if let Some(Ok(mut counting)) = counting {
        work(&mut counting);
    }
}

extern "C" fn at_begin(_: c_uint, _: *mut c_void) {
    with_counting(|counting| counting.open());
}

extern "C" fn at_end(_: c_uint, _: *mut c_void) {
    with_counting(|counting| {
        if let Err(error) = counting.close() {
            eprintln!("counter: {error}");
        }
    });
}

extern "C" fn executed(_: c_uint, counter: *mut c_void) {
    // SAFETY: every instruction is registered with a counter that is never freed.
    let counter = unsafe { &*counter.cast::<Counter>() };
    let count = counter.count.load(Ordering::Relaxed);
    counter.count.store(count + 1, Ordering::Relaxed);
}

extern "C" fn translated(_: u64, block: *mut Block) {
    // SAFETY: QEMU passes a block that is valid during this call.
    let length = unsafe { qemu_plugin_tb_n_insns(block) };
    for index in 0..length {
        // SAFETY: as above, and the index is below the block's length.
        let instruction = unsafe { qemu_plugin_tb_get_insn(block, index) };
        with_counting(|counting| counting.watch(instruction));
    }
}

impl Counting {
    fn watch(&mut self, instruction: *mut Instruction) {
        // SAFETY: the instruction is one of the block that is being translated.
        let address = unsafe { qemu_plugin_insn_vaddr(instruction) };
        let counter: &'static Counter = Box::leak(Box::new(Counter {
            address,
            count: AtomicU64::new(0),
        }));
        self.counters.push(counter);
        let call = |callback: OnExecuted, user: *const Counter| {
            // SAFETY: as above; callbacks of one instruction are called in the order of these calls.
            unsafe {
                qemu_plugin_register_vcpu_insn_exec_cb(
                    instruction,
                    callback,
                    NO_REGISTERS,
                    user.cast_mut().cast(),
                )
            }
        };
        // A bracket opens before its first instruction is counted and closes before `end` is.
        if address == self.begin {
            call(at_begin, counter);
        }
        if address == self.end {
            call(at_end, counter);
        }
        call(executed, counter);
    }
}

/// Called by QEMU when it loads the plugin; other than 0 makes it give up.
///
/// # Safety
/// `arguments` are `count` strings.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn qemu_plugin_install(
    plugin: u64,
    _: *const c_void,
    count: c_int,
    arguments: *const *const c_char,
) -> c_int {
    let text = |index| {
        // SAFETY: by this function's contract.
        unsafe { CStr::from_ptr(*arguments.add(index)) }
            .to_string_lossy()
            .into_owned()
    };
    let arguments: Vec<String> = (0..usize::try_from(count).unwrap_or(0)).map(text).collect();
    let Some(counting) = Counting::new(&arguments) else {
        eprintln!("counter: expected begin=ADDRESS,end=ADDRESS,out=FILE");
        return 1;
    };
    if COUNTING.set(Mutex::new(counting)).is_err() {
        return 1;
    }
    // SAFETY: `plugin` is the number QEMU has just given this plugin.
    unsafe { qemu_plugin_register_vcpu_tb_trans_cb(plugin, translated) };
    0
}
