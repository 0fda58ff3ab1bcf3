//! How deep the stack has been.

use core::sync::atomic::{AtomicU32, Ordering};

const PAINT: u32 = 0xd011_d011;
const WORD_BYTES: usize = size_of::<u32>();
/// Words below the stack pointer that painting leaves alone: the frames of painting itself.
const MARGIN_WORDS: usize = 64;

/// The memory below the start of the stack, painted so that what was used can be told.
#[derive(Debug)]
pub struct Stack<'s> {
    words: &'s [AtomicU32],
}

impl<'s> Stack<'s> {
    /// Paints `words`, lowest address first, up to a margin before the last `in_use_bytes` of them.
    pub fn paint(words: &'s [AtomicU32], in_use_bytes: usize) -> Self {
        let in_use = in_use_bytes.div_ceil(WORD_BYTES) + MARGIN_WORDS;
        let free = words.len().saturating_sub(in_use);
        for word in words.iter().take(free) {
            word.store(PAINT, Ordering::Relaxed);
        }
        Self { words }
    }

    /// Bytes used so far at the deepest. Costs a look at every word that was never used.
    pub fn used_bytes(&self) -> u32 {
        let is_paint = |word: &&AtomicU32| word.load(Ordering::Relaxed) == PAINT;
        let untouched = self.words.iter().take_while(is_paint).count();
        u32::try_from((self.words.len() - untouched) * WORD_BYTES).unwrap_or(u32::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_deepest_word_that_changed_is_how_much_was_used() {
        let words = [const { AtomicU32::new(7) }; 512];
        let stack = Stack::paint(&words, 100 * WORD_BYTES);
        assert_eq!(
            stack.used_bytes() as usize,
            (100 + MARGIN_WORDS) * WORD_BYTES
        );
        words[200].store(0, Ordering::Relaxed);
        assert_eq!(stack.used_bytes() as usize, (512 - 200) * WORD_BYTES);
        words[300].store(0, Ordering::Relaxed);
        assert_eq!(stack.used_bytes() as usize, (512 - 200) * WORD_BYTES);
    }

    #[test]
    fn a_stack_that_is_all_in_use_is_left_alone() {
        let words = [const { AtomicU32::new(7) }; 8];
        assert_eq!(Stack::paint(&words, 1 << 20).used_bytes(), 32);
        assert!(words.iter().all(|word| word.load(Ordering::Relaxed) == 7));
    }
}
