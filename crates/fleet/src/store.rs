//! The collector's database: one SQLite file.
//!
//! Write-ahead log, `synchronous = FULL`: a transaction that returned is on the disk. The layout is
//! versioned in `user_version` and brought up to date when the file is opened for writing. A report
//! opens it for reading only, also where neither the file nor its folder can be written.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, ErrorCode, OpenFlags, Transaction, TransactionBehavior};

use crate::FleetError;
use crate::error::Fault;

/// How long a transaction waits for another process that writes.
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);

/// One step of the layout each; a file's `user_version` counts how many it has seen. A step that
/// was released is never edited.
const MIGRATIONS: &[&str] = &[
    include_str!("store/layout_1.sql"),
    include_str!("store/layout_2.sql"),
];

/// The collector's database.
///
/// Several processes may have the same file open; writers wait for one another for up to ten
/// seconds.
#[derive(Debug)]
pub struct Store {
    path: PathBuf,
    connection: Connection,
}

impl Store {
    /// Opens the database at `path`, made when there is none, and brings its layout up to date.
    ///
    /// # Errors
    /// When the file cannot be opened or written, is not a database of the collector, or was made by
    /// a later version.
    pub fn create(path: &Path) -> Result<Self, FleetError> {
        let connection = Connection::open(path).map_err(|error| Fault::from(error).at(path))?;
        Self::prepare(path, connection)
    }

    /// Opens the database at `path` for reading only: nothing in the file changes, and neither it
    /// nor its folder need be writable.
    ///
    /// # Errors
    /// [`FleetError::NoDatabase`] when there is no file; when it cannot be read, is not a database of
    /// the collector, or has another layout than this version's; [`FleetError::Unfinished`] when a
    /// folder that cannot be written holds a database that was not closed.
    pub fn open(path: &Path) -> Result<Self, FleetError> {
        std::fs::metadata(path).map_err(|error| absent(path, error))?;
        match Self::read(path, "mode=ro") {
            Err(FleetError::Database { error, .. }) if wants_to_write(&error) => {
                if has_log(path) {
                    return Err(FleetError::Unfinished {
                        path: path.to_owned(),
                    });
                }
                Self::read(path, "immutable=1")
            }
            other => other,
        }
    }

    /// A database that lives as long as the value, for tests and rehearsals.
    ///
    /// # Errors
    /// When SQLite cannot allocate it.
    pub fn in_memory() -> Result<Self, FleetError> {
        let path = Path::new(":memory:");
        let connection =
            Connection::open_in_memory().map_err(|error| Fault::from(error).at(path))?;
        Self::prepare(path, connection)
    }

    fn prepare(path: &Path, mut connection: Connection) -> Result<Self, FleetError> {
        refuse_foreign(path, &connection)?;
        let configure = |connection: &Connection| {
            connection.busy_timeout(BUSY_TIMEOUT)?;
            connection.pragma_update(None, "journal_mode", "WAL")?;
            connection.pragma_update(None, "synchronous", "FULL")?;
            connection.pragma_update(None, "foreign_keys", "ON")
        };
        configure(&connection).map_err(|error| Fault::from(error).at(path))?;
        migrate(&mut connection).map_err(|fault| fault.at(path))?;
        Ok(Self {
            path: path.to_owned(),
            connection,
        })
    }

    fn read(path: &Path, how: &str) -> Result<Self, FleetError> {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI;
        let connection = Connection::open_with_flags(uri(path, how)?, flags)
            .and_then(|connection| {
                connection.busy_timeout(BUSY_TIMEOUT)?;
                Ok(connection)
            })
            .map_err(|error| Fault::from(error).at(path))?;
        let found = refuse_foreign(path, &connection)?;
        if found < MIGRATIONS.len() {
            return Err(FleetError::EarlierDatabase {
                path: path.to_owned(),
                found,
                known: MIGRATIONS.len(),
            });
        }
        Ok(Self {
            path: path.to_owned(),
            connection,
        })
    }

    /// Reads with one view of the database, whatever others write meanwhile.
    pub(crate) fn reading<T>(
        &self,
        read: impl FnOnce(&Connection) -> Result<T, Fault>,
    ) -> Result<T, FleetError> {
        let whole = || {
            let transaction = self.connection.unchecked_transaction()?;
            read(&transaction)
        };
        whole().map_err(|fault| fault.at(&self.path))
    }

    /// A transaction that holds the writer's place from its start, on the disk when this returns;
    /// nothing of it is there when `write` fails.
    pub(crate) fn writing<T>(
        &mut self,
        write: impl FnOnce(&Transaction<'_>) -> Result<T, Fault>,
    ) -> Result<T, FleetError> {
        let whole = |connection: &mut Connection| {
            let transaction =
                connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let done = write(&transaction)?;
            transaction.commit()?;
            Ok(done)
        };
        whole(&mut self.connection).map_err(|fault: Fault| fault.at(&self.path))
    }

    /// One statement that is not waited for until it is on the disk.
    pub(crate) fn write_soon(
        &self,
        statement: &str,
        parameters: impl rusqlite::Params,
    ) -> Result<(), FleetError> {
        let write = || {
            self.connection
                .pragma_update(None, "synchronous", "NORMAL")?;
            let written = self
                .connection
                .prepare_cached(statement)
                .and_then(|mut statement| statement.execute(parameters));
            self.connection.pragma_update(None, "synchronous", "FULL")?;
            written
        };
        write()
            .map(|_| ())
            .map_err(|error| Fault::from(error).at(&self.path))
    }
}

fn absent(path: &Path, error: io::Error) -> FleetError {
    let path = path.to_owned();
    if error.kind() == io::ErrorKind::NotFound {
        FleetError::NoDatabase { path }
    } else {
        FleetError::File { path, error }
    }
}

/// Whether SQLite failed because it may not make its files beside the database.
fn wants_to_write(error: &rusqlite::Error) -> bool {
    matches!(
        error.sqlite_error_code(),
        Some(ErrorCode::CannotOpen | ErrorCode::ReadOnly | ErrorCode::PermissionDenied)
    )
}

/// Whether something is written that is not in the database's own file yet.
fn has_log(path: &Path) -> bool {
    let mut log = path.as_os_str().to_owned();
    log.push("-wal");
    std::fs::metadata(log).is_ok_and(|log| log.len() > 0)
}

/// The path as SQLite's URI, which alone can say that a file never changes.
fn uri(path: &Path, how: &str) -> Result<String, FleetError> {
    let unreadable = || FleetError::File {
        path: path.to_owned(),
        error: io::Error::new(io::ErrorKind::InvalidInput, "its path is not UTF-8"),
    };
    let escaped = path
        .to_str()
        .ok_or_else(unreadable)?
        .replace('%', "%25")
        .replace('?', "%3f")
        .replace('#', "%23");
    Ok(format!("file:{escaped}?{how}"))
}

/// The layout of a database of the collector; 0 for a file without anything in it.
fn refuse_foreign(path: &Path, connection: &Connection) -> Result<usize, FleetError> {
    let look = || -> Result<(i64, i64, i64), rusqlite::Error> {
        let layout = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
        let (all, own) = connection.query_row(
            "SELECT count(*), count(*) FILTER (WHERE name IN ('devices', 'records', 'windows')) FROM sqlite_schema",
            [],
            |row| Ok((row.get(0)?, row.get(1)?)),
        )?;
        Ok((layout, all, own))
    };
    let (layout, all, own) = look().map_err(|error| Fault::from(error).at(path))?;
    let found = usize::try_from(layout).unwrap_or(usize::MAX);
    if own < 3 && (layout != 0 || all != 0) {
        return Err(FleetError::NotADatabase {
            path: path.to_owned(),
            found: "the database of another program",
        });
    }
    if found > MIGRATIONS.len() {
        return Err(FleetError::LaterDatabase {
            path: path.to_owned(),
            found,
            known: MIGRATIONS.len(),
        });
    }
    Ok(found)
}

fn migrate(connection: &mut Connection) -> Result<(), Fault> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let found: i64 = transaction.pragma_query_value(None, "user_version", |row| row.get(0))?;
    for step in MIGRATIONS
        .iter()
        .skip(usize::try_from(found).unwrap_or(usize::MAX))
    {
        transaction.execute_batch(step)?;
    }
    transaction.pragma_update(None, "user_version", MIGRATIONS.len() as i64)?;
    Ok(transaction.commit()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place() -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("fleet #1?.sqlite");
        (folder, path)
    }

    #[test]
    fn a_file_is_durable_and_at_the_newest_layout() {
        let (_folder, path) = place();
        let store = Store::create(&path).unwrap();
        let pragma = |name| {
            store
                .connection
                .pragma_query_value(None, name, |row| row.get::<_, rusqlite::types::Value>(0))
                .unwrap()
        };
        assert_eq!(pragma("journal_mode"), "wal".to_owned().into());
        assert_eq!(pragma("synchronous"), 2.into());
        assert_eq!(pragma("user_version"), (MIGRATIONS.len() as i64).into());
        store.write_soon("DELETE FROM devices", []).unwrap();
        assert_eq!(pragma("synchronous"), 2.into());
        drop(store);
        Store::open(&path).unwrap();
    }

    #[test]
    fn a_file_of_an_earlier_version_is_brought_up_to_date_by_a_writer_only() {
        let (_folder, path) = place();
        let connection = Connection::open(&path).unwrap();
        connection.execute_batch(MIGRATIONS[0]).unwrap();
        connection.pragma_update(None, "user_version", 1).unwrap();
        drop(connection);
        let error = Store::open(&path).unwrap_err();
        assert!(
            matches!(error, FleetError::EarlierDatabase { found: 1, .. }),
            "{error}"
        );
        assert!(error.to_string().contains(path.to_str().unwrap()));
        drop(Store::create(&path).unwrap());
        Store::open(&path).unwrap();
    }

    #[test]
    fn a_file_of_a_later_version_is_left_alone() {
        let (_folder, path) = place();
        Store::create(&path)
            .unwrap()
            .connection
            .pragma_update(None, "user_version", 99)
            .unwrap();
        for opened in [Store::open(&path), Store::create(&path)] {
            let error = opened.unwrap_err();
            assert!(
                matches!(error, FleetError::LaterDatabase { found: 99, .. }),
                "{error}"
            );
            assert!(error.to_string().contains(path.to_str().unwrap()));
        }
    }

    #[test]
    fn a_file_of_another_program_is_left_alone() {
        let (folder, path) = place();
        std::fs::write(&path, "name,age\n".repeat(100)).unwrap();
        let other = folder.path().join("other.sqlite");
        let connection = Connection::open(&other).unwrap();
        connection
            .execute_batch("CREATE TABLE contacts (name TEXT)")
            .unwrap();
        drop(connection);
        for path in [path, other] {
            let before = std::fs::read(&path).unwrap();
            for opened in [Store::open(&path), Store::create(&path)] {
                let error = opened.unwrap_err();
                assert!(matches!(error, FleetError::NotADatabase { .. }), "{error}");
                assert!(error.to_string().contains(path.to_str().unwrap()));
            }
            assert_eq!(std::fs::read(&path).unwrap(), before);
        }
    }

    #[test]
    fn a_report_does_not_make_a_database() {
        let (_folder, path) = place();
        assert!(matches!(
            Store::open(&path),
            Err(FleetError::NoDatabase { .. })
        ));
        assert!(!path.exists());
    }

    #[test]
    fn a_store_opened_for_reading_refuses_to_write_and_names_its_file() {
        let (_folder, path) = place();
        drop(Store::create(&path).unwrap());
        let refusal = crate::Refusal::at_login("00112233445566ff");
        let mut store = Store::open(&path).unwrap();
        let error = store.note_refusals("mqtt", 1, &[refusal]).unwrap_err();
        assert!(
            error.to_string().contains(path.to_str().unwrap()),
            "{error}"
        );
    }
}
