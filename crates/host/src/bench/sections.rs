//! What an image takes of flash, from `arm-none-eabi-objdump -h`.

/// Bytes of flash: every section that is loaded and not empty.
///
/// The listing has two lines for every section, the second of which says whether it is loaded.
pub fn flash_bytes(listing: &str) -> Option<u64> {
    let lines: Vec<&str> = listing.lines().collect();
    let loaded = lines
        .array_windows()
        .filter(|[_, flags]| flags.trim_start().starts_with("CONTENTS, ALLOC, LOAD"));
    let sizes: Option<Vec<u64>> = loaded.map(|[section, _]| size(section)).collect();
    let sizes = sizes?;
    (!sizes.is_empty()).then(|| sizes.iter().sum())
}

/// `  1 .text  000003e8  00000400  00000400  00000400  2**2`.
fn size(section: &str) -> Option<u64> {
    u64::from_str_radix(section.split_whitespace().nth(2)?, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const LISTING: &str = "
stub.elf:     file format elf32-littlearm

Sections:
Idx Name          Size      VMA       LMA       File off  Algn
  0 .vector_table 00000400  00000000  00000000  00001000  2**2
                  CONTENTS, ALLOC, LOAD, READONLY, DATA
  1 .text         000003e8  00000400  00000400  00001400  2**2
                  CONTENTS, ALLOC, LOAD, READONLY, CODE
  2 .data         00000010  20000000  00000d70  00002000  2**2
                  CONTENTS, ALLOC, LOAD, DATA
  3 .bss          00000020  20000010  20000010  00002000  2**4
                  ALLOC
  4 .debug_abbrev 0000109d  00000000  00000000  00001d7c  2**0
                  CONTENTS, READONLY, DEBUGGING, OCTETS
";

    #[test]
    fn code_constants_and_initial_values_are_flash() {
        assert_eq!(flash_bytes(LISTING), Some(0x400 + 0x3e8 + 0x10));
    }

    #[test]
    fn a_listing_without_sections_has_no_size() {
        assert_eq!(flash_bytes("no such file"), None);
    }
}
