//! The instructions of an image, as `arm-none-eabi-objdump -dC --no-show-raw-insn` lists them.

use std::collections::BTreeMap;

/// One line of a listing: an instruction, or data among the code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Instruction {
    /// Where it lies.
    pub address: u32,
    /// Its name with condition and width, e.g. `beq.n`.
    pub mnemonic: String,
    /// What it works on, with the listing's remarks.
    pub operands: String,
    /// Index of its function in [`Listing::functions`].
    pub function: usize,
}

/// The instructions of an image in address order.
#[derive(Debug, Clone, Default)]
pub struct Listing {
    /// Every line, in address order.
    pub instructions: Vec<Instruction>,
    /// Names of the functions, demangled, without the compiler's hash.
    pub functions: Vec<String>,
    starts: BTreeMap<String, u32>,
}

impl Listing {
    /// Reads a listing; lines that are neither a function's name nor an instruction are passed over.
    pub fn parse(text: &str) -> Self {
        let mut listing = Self::default();
        for line in text.lines() {
            if let Some((address, name)) = function(line) {
                listing.functions.push(without_hash(name).to_owned());
                listing.starts.insert(name.to_owned(), address);
            } else if let Some((address, mnemonic, operands)) = instruction(line) {
                listing.instructions.push(Instruction {
                    address,
                    mnemonic: mnemonic.to_owned(),
                    operands: operands.to_owned(),
                    function: listing.functions.len().saturating_sub(1),
                });
            }
        }
        listing
            .instructions
            .sort_by_key(|instruction| instruction.address);
        listing
    }

    /// Where a function begins.
    pub fn start(&self, function: &str) -> Option<u32> {
        self.starts.get(function).copied()
    }

    /// Position of the instruction at an address.
    pub fn position(&self, address: u32) -> Option<usize> {
        self.instructions
            .binary_search_by_key(&address, |instruction| instruction.address)
            .ok()
    }

    /// Name of an instruction's function.
    pub fn function_of(&self, instruction: &Instruction) -> &str {
        self.functions
            .get(instruction.function)
            .map_or("?", String::as_str)
    }
}

/// `00000400 <name>:`.
fn function(line: &str) -> Option<(u32, &str)> {
    let (address, rest) = line.split_once(" <")?;
    let name = rest.strip_suffix(">:")?;
    Some((u32::from_str_radix(address, 16).ok()?, name))
}

/// `     400:\tpush\t{r4, lr}`.
fn instruction(line: &str) -> Option<(u32, &str, &str)> {
    let (address, rest) = line.split_once(":\t")?;
    let address = u32::from_str_radix(address.trim_start(), 16).ok()?;
    let (mnemonic, operands) = rest.split_once('\t').unwrap_or((rest, ""));
    Some((address, mnemonic.trim(), operands.trim()))
}

/// A Rust name without `::h0123456789abcdef` at its end.
fn without_hash(name: &str) -> &str {
    match name.rsplit_once("::h") {
        Some((path, hash)) if hash.len() == 16 && hash.bytes().all(|b| b.is_ascii_hexdigit()) => {
            path
        }
        _ => name,
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A function with every class of instruction, as objdump of binutils 2.40 writes it.
    pub const LISTING: &str = "
bench.elf:     file format elf32-littlearm


Disassembly of section .text:

00000400 <mark_begin>:
     400:\tbx\tlr

00000402 <engine::run::h0123456789abcdef>:
     402:\tpush\t{r4, r5, lr}
     404:\tldr.w\tr3, [r0], #4
     408:\tldr\tr4, [r1, #0]
     40a:\tstrb\tr4, [r1, #1]
     40c:\tsmlad\tr4, r3, r4, r5
     410:\tudiv\tr4, r4, r5
     414:\tit\teq
     416:\tmoveq\tr4, #0
     418:\tvldr\ts0, [r0]
     41c:\tsubs\tr0, #1
     41e:\tbne.n\t404 <engine::run+0x2>
     420:\tldmia.w\tr0!, {r4, r5}
     424:\tpop\t{r4, r5, pc}
     426:\t.short\t0x0000
     428:\tldr\tr0, [pc, #4]\t@ (430 <engine::run+0x2e>)
     42a:\tbl\t400 <mark_begin>
10000042:\tnop
";

    #[test]
    fn instructions_are_read_with_their_functions() {
        let listing = Listing::parse(LISTING);
        assert_eq!(listing.functions, ["mark_begin", "engine::run"]);
        assert_eq!(listing.start("mark_begin"), Some(0x400));
        assert_eq!(listing.start("nothing"), None);
        let push = &listing.instructions[listing.position(0x402).unwrap()];
        assert_eq!(
            (push.mnemonic.as_str(), push.operands.as_str()),
            ("push", "{r4, r5, lr}")
        );
        assert_eq!(listing.function_of(push), "engine::run");
        assert_eq!(listing.position(0x403), None);
        assert_eq!(listing.instructions.len(), 18);
        assert_eq!(listing.position(0x1000_0042), Some(17));
    }

    #[test]
    fn only_a_compilers_hash_is_taken_off_a_name() {
        assert_eq!(without_hash("a::b::h0123456789abcdef"), "a::b");
        assert_eq!(without_hash("a::hash"), "a::hash");
        assert_eq!(without_hash("a::h0123456789abcdeg"), "a::h0123456789abcdeg");
    }
}
