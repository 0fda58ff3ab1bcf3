//! NOR flash emulated by a file, with the durability a flash chip has.
//!
//! The file is the flash image, byte for byte and without a header, up to the end of the last page
//! that was ever written; what lies behind its end is erased (`0xFF`). So a new flash is an empty
//! file, and a file that a file system has cut short is a flash with erased pages, which the stores
//! above find out as after any power cut. Every write and erase reaches the disk (`fdatasync`) before
//! the call returns: the stores count on the order of writes. A copy of the image is kept in memory;
//! reads and [`FileFlash::mapped`] come from there.
//!
//! Cost: the written pages once in memory and once on disk; one `pwrite` and one `fdatasync` per
//! write or erase. Erasing what is erased already touches nothing.

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use embedded_storage::nor_flash::{
    ErrorType, NorFlash, NorFlashError, NorFlashErrorKind, ReadNorFlash, check_erase, check_read,
    check_write,
};

/// Bytes of one erase page.
pub const PAGE_BYTES: usize = 4096;
/// Bytes of one write word.
pub const WORD_BYTES: usize = 4;
const ERASED: u8 = 0xFF;

/// A file that behaves like NOR flash: pages of [`PAGE_BYTES`], words of [`WORD_BYTES`], a word is
/// written once between two erases of its page.
#[derive(Debug)]
pub struct FileFlash {
    file: File,
    capacity: usize,
    /// The pages up to the last one written.
    image: Vec<u8>,
}

/// Opening a flash image failed.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The capacity is not a whole number of pages, or zero, or more than 32 bits can address.
    #[error("a flash of {bytes} bytes is not a whole number of {PAGE_BYTES}-byte pages")]
    Capacity {
        /// The capacity asked for.
        bytes: usize,
    },
    /// The image is longer than the flash: it was made for another layout.
    #[error("{path}: the image has {got} bytes, this flash has {expected}")]
    TooLong {
        /// The image file.
        path: PathBuf,
        /// Bytes the flash has.
        expected: usize,
        /// Bytes the file has.
        got: u64,
    },
    /// Another process has the image open.
    #[error("{path}: in use by another agent")]
    InUse {
        /// The image file.
        path: PathBuf,
    },
    /// The file system refused.
    #[error("{path}: {source}")]
    Io {
        /// The image file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// A flash operation failed; the image in memory still equals the last known state of the file.
#[derive(Debug, thiserror::Error)]
pub enum FlashFault {
    /// Address, length or alignment is wrong.
    #[error("{0}")]
    Arguments(NorFlashErrorKind),
    /// A word was written twice without an erase.
    #[error("the word at {offset} was written already")]
    Overwritten {
        /// Address of the word.
        offset: u32,
    },
    /// The file system refused.
    #[error("flash image: {0}")]
    Io(#[from] io::Error),
}

impl NorFlashError for FlashFault {
    fn kind(&self) -> NorFlashErrorKind {
        match self {
            Self::Arguments(kind) => *kind,
            Self::Overwritten { .. } | Self::Io(_) => NorFlashErrorKind::Other,
        }
    }
}

impl FileFlash {
    /// Opens the image at `path`, or makes one that is erased (file mode 0600), `capacity` bytes wide.
    ///
    /// # Errors
    /// [`OpenError`]: bad capacity, an image longer than `capacity`, one in use, or an I/O error.
    pub fn open(path: &Path, capacity: usize) -> Result<Self, OpenError> {
        if capacity == 0 || !capacity.is_multiple_of(PAGE_BYTES) || u32::try_from(capacity).is_err()
        {
            return Err(OpenError::Capacity { bytes: capacity });
        }
        let failed = |source| OpenError::Io {
            path: path.to_owned(),
            source,
        };
        let file = open_or_create(path).map_err(failed)?;
        lock(&file, path)?;
        let got = file.metadata().map_err(failed)?.len();
        let present = usize::try_from(got)
            .ok()
            .filter(|bytes| *bytes <= capacity)
            .ok_or_else(|| OpenError::TooLong {
                path: path.to_owned(),
                expected: capacity,
                got,
            })?;
        let mut image = Vec::with_capacity(capacity);
        image.resize(present.next_multiple_of(PAGE_BYTES), ERASED);
        file.read_exact_at(&mut image[..present], 0)
            .map_err(failed)?;
        if present < image.len() {
            file.write_all_at(&image[present..], present as u64)
                .map_err(failed)?;
        }
        Ok(Self {
            file,
            capacity,
            image,
        })
    }

    /// The image as a memory-mapped flash would show it, up to the last page ever written; what
    /// lies behind is erased.
    pub fn mapped(&self) -> &[u8] {
        &self.image
    }

    /// Bytes of `range` that were ever written; the rest of it is erased.
    fn present(&self, start: usize, length: usize) -> &[u8] {
        let end = (start + length).min(self.image.len());
        self.image.get(start..end).unwrap_or_default()
    }

    /// Makes the file and the image reach to the end of the page before `end`.
    fn grow(&mut self, end: usize) -> io::Result<()> {
        let (from, to) = (self.image.len(), end.next_multiple_of(PAGE_BYTES));
        if from < to {
            self.file
                .write_all_at(&vec![ERASED; to - from], from as u64)?;
            self.image.resize(to, ERASED);
        }
        Ok(())
    }

    fn put(&mut self, offset: usize, bytes: &[u8]) -> Result<(), FlashFault> {
        self.grow(offset + bytes.len())?;
        self.file.write_all_at(bytes, offset as u64)?;
        self.file.sync_data()?;
        self.image[offset..offset + bytes.len()].copy_from_slice(bytes);
        Ok(())
    }
}

/// Keeps a second agent away from the image for as long as this one has it open.
fn lock(file: &File, path: &Path) -> Result<(), OpenError> {
    let path = path.to_owned();
    file.try_lock().map_err(|error| match error {
        TryLockError::WouldBlock => OpenError::InUse { path },
        TryLockError::Error(source) => OpenError::Io { path, source },
    })
}

/// The name of a new file is durable before the file is used.
fn open_or_create(path: &Path) -> io::Result<File> {
    let is_new = !path.exists();
    let mut options = OpenOptions::new();
    let file = options
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path)?;
    if is_new {
        let folder = path
            .parent()
            .filter(|folder| !folder.as_os_str().is_empty());
        File::open(folder.unwrap_or(Path::new(".")))?.sync_all()?;
    }
    Ok(file)
}

impl ErrorType for FileFlash {
    type Error = FlashFault;
}

impl ReadNorFlash for FileFlash {
    const READ_SIZE: usize = 1;

    fn read(&mut self, offset: u32, bytes: &mut [u8]) -> Result<(), FlashFault> {
        check_read(self, offset, bytes.len()).map_err(FlashFault::Arguments)?;
        let present = self.present(offset as usize, bytes.len());
        let (written, erased) = bytes.split_at_mut(present.len());
        written.copy_from_slice(present);
        erased.fill(ERASED);
        Ok(())
    }

    fn capacity(&self) -> usize {
        self.capacity
    }
}

impl NorFlash for FileFlash {
    const WRITE_SIZE: usize = WORD_BYTES;
    const ERASE_SIZE: usize = PAGE_BYTES;

    fn erase(&mut self, from: u32, to: u32) -> Result<(), FlashFault> {
        check_erase(self, from, to).map_err(FlashFault::Arguments)?;
        let (from, to) = (from as usize, to as usize);
        let present = self.present(from, to - from);
        if present.iter().all(|byte| *byte == ERASED) {
            return Ok(());
        }
        let erased = vec![ERASED; present.len()];
        self.put(from, &erased)
    }

    fn write(&mut self, offset: u32, bytes: &[u8]) -> Result<(), FlashFault> {
        check_write(self, offset, bytes.len()).map_err(FlashFault::Arguments)?;
        let start = offset as usize;
        let used = self
            .present(start, bytes.len())
            .iter()
            .position(|byte| *byte != ERASED);
        if let Some(at) = used {
            let word = start + at - at % WORD_BYTES;
            return Err(FlashFault::Overwritten {
                offset: word as u32,
            });
        }
        if bytes.is_empty() {
            return Ok(());
        }
        self.put(start, bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const PAGES: usize = 3;

    #[derive(Debug, Clone)]
    enum Step {
        Write { word: usize, bytes: Vec<u8> },
        Erase { page: usize },
        Reopen,
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            6 => (0..PAGES * PAGE_BYTES / WORD_BYTES, prop::collection::vec(any::<u8>(), 1..40))
                .prop_map(|(word, mut bytes)| {
                    bytes.resize(bytes.len().next_multiple_of(WORD_BYTES), 0);
                    Step::Write { word, bytes }
                }),
            2 => (0..PAGES).prop_map(|page| Step::Erase { page }),
            1 => Just(Step::Reopen),
        ]
    }

    /// What a NOR flash is, in the fewest words: the oracle.
    struct Model(Vec<u8>);

    impl Model {
        fn write(&mut self, start: usize, bytes: &[u8]) -> bool {
            let allowed = self
                .0
                .get(start..start + bytes.len())
                .is_some_and(|place| place.iter().all(|byte| *byte == ERASED));
            if allowed {
                self.0[start..start + bytes.len()].copy_from_slice(bytes);
            }
            allowed
        }
    }

    fn open(folder: &tempfile::TempDir) -> FileFlash {
        FileFlash::open(&folder.path().join("flash.bin"), PAGES * PAGE_BYTES).expect("opens")
    }

    fn whole(flash: &mut FileFlash) -> Vec<u8> {
        let mut bytes = vec![0; flash.capacity()];
        flash.read(0, &mut bytes).expect("reads");
        bytes
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]
        #[test]
        fn behaves_like_nor_flash_and_keeps_everything_over_reopening(
            steps in prop::collection::vec(step(), 1..40),
        ) {
            let folder = tempfile::tempdir().expect("temporary folder");
            let mut flash = open(&folder);
            let mut model = Model(vec![ERASED; PAGES * PAGE_BYTES]);
            for step in steps {
                match step {
                    Step::Write { word, bytes } => {
                        let start = word * WORD_BYTES;
                        let written = flash.write(start as u32, &bytes).is_ok();
                        prop_assert_eq!(written, model.write(start, &bytes));
                    }
                    Step::Erase { page } => {
                        let range = page * PAGE_BYTES..(page + 1) * PAGE_BYTES;
                        flash.erase(range.start as u32, range.end as u32).expect("erases");
                        model.0[range].fill(ERASED);
                    }
                    Step::Reopen => {
                        drop(flash);
                        flash = open(&folder);
                    }
                }
                prop_assert_eq!(whole(&mut flash), &model.0[..]);
                let (written, erased) = model.0.split_at(flash.mapped().len());
                prop_assert_eq!(flash.mapped(), written);
                prop_assert!(erased.iter().all(|byte| *byte == ERASED));
            }
            let on_disk = std::fs::read(folder.path().join("flash.bin")).expect("image");
            prop_assert_eq!(&on_disk[..], flash.mapped());
        }
    }

    #[test]
    fn refuses_misaligned_out_of_bounds_and_repeated_writes() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let mut flash = open(&folder);
        let kind = |result: Result<(), FlashFault>| result.map_err(|fault| fault.kind());
        assert_eq!(
            kind(flash.write(2, &[0; 4])),
            Err(NorFlashErrorKind::NotAligned)
        );
        assert_eq!(
            kind(flash.write(0, &[0; 3])),
            Err(NorFlashErrorKind::NotAligned)
        );
        assert_eq!(
            kind(flash.erase(0, 100)),
            Err(NorFlashErrorKind::NotAligned)
        );
        let end = (PAGES * PAGE_BYTES) as u32;
        assert_eq!(
            kind(flash.write(end, &[0; 4])),
            Err(NorFlashErrorKind::OutOfBounds)
        );
        assert_eq!(
            kind(flash.read(end - 1, &mut [0; 2])),
            Err(NorFlashErrorKind::OutOfBounds)
        );
        flash.write(8, &[0, 1, 2, 3]).expect("first write");
        let again = flash.write(4, &[9; 8]);
        assert!(
            matches!(again, Err(FlashFault::Overwritten { offset: 8 })),
            "{again:?}"
        );
    }

    #[test]
    fn takes_a_missing_tail_as_erased() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let mut flash = open(&folder);
        flash.write(0, &[1, 2, 3, 4]).expect("kept");
        flash
            .write(2 * PAGE_BYTES as u32, &[5, 6, 7, 8])
            .expect("lost with the tail");
        drop(flash);
        let file = OpenOptions::new()
            .write(true)
            .open(folder.path().join("flash.bin"));
        file.and_then(|file| file.set_len(PAGE_BYTES as u64 + 10))
            .expect("torn");

        let mut torn = open(&folder);
        let mut expected = vec![ERASED; PAGES * PAGE_BYTES];
        expected[..4].copy_from_slice(&[1, 2, 3, 4]);
        assert_eq!(whole(&mut torn), expected);
        torn.write(PAGE_BYTES as u32 + 80, &[9; 4])
            .expect("erased words can be written");
        drop(torn);
        expected[PAGE_BYTES + 80..PAGE_BYTES + 84].fill(9);
        assert_eq!(whole(&mut open(&folder)), expected);
    }

    #[test]
    fn takes_no_more_room_than_was_written() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let mut flash = open(&folder);
        let length = || {
            std::fs::metadata(folder.path().join("flash.bin"))
                .expect("file")
                .len()
        };
        assert_eq!((length(), flash.mapped().len()), (0, 0));
        flash.write(PAGE_BYTES as u32, &[1; 4]).expect("writes");
        assert_eq!(
            (length() as usize, flash.mapped().len()),
            (2 * PAGE_BYTES, 2 * PAGE_BYTES)
        );
    }

    #[test]
    fn refuses_a_second_user_and_an_image_of_another_layout() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let path = folder.path().join("flash.bin");
        let mut flash = open(&folder);
        flash
            .write(2 * PAGE_BYTES as u32, &[0; 4])
            .expect("the last page");
        let second = FileFlash::open(&path, PAGES * PAGE_BYTES);
        assert!(matches!(second, Err(OpenError::InUse { .. })), "{second:?}");
        drop(flash);
        let smaller = FileFlash::open(&path, PAGE_BYTES);
        assert!(
            matches!(smaller, Err(OpenError::TooLong { .. })),
            "{smaller:?}"
        );
        assert!(matches!(
            FileFlash::open(&path, 100),
            Err(OpenError::Capacity { bytes: 100 })
        ));
    }
}
