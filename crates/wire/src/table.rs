//! A bounded list that lives in place and travels as a CBOR array.

use minicbor::decode::{self, Decoder};
use minicbor::encode::{self, Encoder, Write};
use minicbor::{Decode, Encode};

/// Up to `N` items, stored in place.
#[derive(Debug, Clone, Copy)]
pub struct Table<T, const N: usize> {
    items: [T; N],
    length: usize,
}

impl<T: Copy + Default, const N: usize> Default for Table<T, N> {
    fn default() -> Self {
        Self {
            items: [T::default(); N],
            length: 0,
        }
    }
}

impl<T, const N: usize> Table<T, N> {
    /// Appends an item, or gives it back when the table is full.
    pub fn push(&mut self, item: T) -> Result<(), T> {
        match self.items.get_mut(self.length) {
            Some(slot) => {
                *slot = item;
                self.length += 1;
                Ok(())
            }
            None => Err(item),
        }
    }
}

impl<T, const N: usize> core::ops::Deref for Table<T, N> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        self.items.get(..self.length).unwrap_or_default()
    }
}

impl<T, const N: usize> core::ops::DerefMut for Table<T, N> {
    fn deref_mut(&mut self) -> &mut [T] {
        self.items.get_mut(..self.length).unwrap_or_default()
    }
}

impl<T: PartialEq, const N: usize> PartialEq for Table<T, N> {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl<T: Eq, const N: usize> Eq for Table<T, N> {}

impl<T: Copy + Default, const N: usize> FromIterator<T> for Table<T, N> {
    /// Keeps the first `N` items.
    fn from_iter<I: IntoIterator<Item = T>>(items: I) -> Self {
        let mut table = Self::default();
        for item in items.into_iter().take(N) {
            let _ = table.push(item);
        }
        table
    }
}

impl<C, T: Encode<C>, const N: usize> Encode<C> for Table<T, N> {
    fn encode<W: Write>(
        &self,
        e: &mut Encoder<W>,
        context: &mut C,
    ) -> Result<(), encode::Error<W::Error>> {
        e.array(self.length as u64)?;
        self.iter().try_for_each(|item| item.encode(e, context))
    }
}

impl<'b, C, T: Decode<'b, C> + Copy + Default, const N: usize> Decode<'b, C> for Table<T, N> {
    fn decode(d: &mut Decoder<'b>, context: &mut C) -> Result<Self, decode::Error> {
        let position = d.position();
        let length = d
            .array()?
            .ok_or_else(|| decode::Error::message("indefinite array").at(position))?;
        if length > N as u64 {
            return Err(decode::Error::message("more items than the format allows").at(position));
        }
        let mut table = Self::default();
        for _ in 0..length {
            let _ = table.push(T::decode(d, context)?);
        }
        Ok(table)
    }
}
