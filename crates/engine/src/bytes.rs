//! Little-endian reads and writes that cannot panic.

/// Whether bytes start where the kernels of this processor can read them.
#[inline(always)]
pub(crate) fn is_aligned(bytes: &[u8]) -> bool {
    bytes
        .as_ptr()
        .addr()
        .is_multiple_of(dunlin_kernels::ALIGNMENT)
}

/// The `N` bytes at `at`, if they are all there.
#[inline(always)]
pub(crate) fn array<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    chunk(bytes, at).copied()
}

/// As [`array`], where they lie.
#[inline(always)]
pub(crate) fn chunk<const N: usize>(bytes: &[u8], at: usize) -> Option<&[u8; N]> {
    bytes.get(at..)?.first_chunk()
}

#[inline(always)]
pub(crate) fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    array(bytes, at).map(u32::from_le_bytes)
}

#[inline(always)]
pub(crate) fn f32_at(bytes: &[u8], at: usize) -> Option<f32> {
    array(bytes, at).map(f32::from_le_bytes)
}

/// Writes `value` over the bytes at `at`, if they are all there.
#[inline(always)]
pub(crate) fn put<const N: usize>(bytes: &mut [u8], at: usize, value: [u8; N]) -> Option<()> {
    *bytes.get_mut(at..)?.first_chunk_mut()? = value;
    Some(())
}

/// The `f32` elements of `bytes`; a remainder of fewer than four bytes is left out.
#[inline(always)]
pub(crate) fn f32s(
    bytes: &[u8],
) -> impl DoubleEndedIterator<Item = f32> + ExactSizeIterator + Clone + '_ {
    bytes
        .as_chunks()
        .0
        .iter()
        .map(|chunk| f32::from_le_bytes(*chunk))
}

/// Pieces of `size` bytes; what is left over, or everything where `size` is 0, is left out.
#[inline(always)]
pub(crate) fn pieces(mut bytes: &[u8], size: usize) -> impl Iterator<Item = &[u8]> {
    core::iter::from_fn(move || {
        let (piece, rest) = bytes.split_at_checked(size).filter(|_| size > 0)?;
        bytes = rest;
        Some(piece)
    })
}

/// As [`pieces`], to be written.
#[inline(always)]
pub(crate) fn pieces_mut(mut bytes: &mut [u8], size: usize) -> impl Iterator<Item = &mut [u8]> {
    core::iter::from_fn(move || {
        let all = core::mem::take(&mut bytes);
        let (piece, rest) = all.split_at_mut_checked(size).filter(|_| size > 0)?;
        bytes = rest;
        Some(piece)
    })
}

/// Copies as many bytes as both have.
#[inline(always)]
pub(crate) fn copy(from: &[u8], to: &mut [u8]) {
    to.iter_mut().zip(from).for_each(|(to, from)| *to = *from);
}
