//! The collector's database: one SQLite file.
//!
//! Write-ahead log, `synchronous = FULL`: a transaction that returned is on the disk. The layout is
//! versioned in `user_version` and brought up to date when the file is opened.

use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, OpenFlags, Transaction, TransactionBehavior};

use crate::FleetError;

/// How long a transaction waits for another process that writes.
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);

/// One step of the layout each; a file's `user_version` counts how many it has seen. A step that
/// was released is never edited.
const MIGRATIONS: &[&str] = &[include_str!("store/layout_1.sql")];

/// The collector's database.
///
/// Several processes may have the same file open; writers wait for one another for up to ten
/// seconds.
#[derive(Debug)]
pub struct Store {
    connection: Connection,
}

impl Store {
    /// Opens the database at `path`, made when there is none, and brings its layout up to date.
    ///
    /// # Errors
    /// When the file cannot be opened or written, is not a database, or was made by a later version.
    pub fn create(path: &Path) -> Result<Self, FleetError> {
        Self::prepare(Connection::open(path)?)
    }

    /// Opens the database at `path`, which must exist, and brings its layout up to date.
    ///
    /// # Errors
    /// As [`Store::create`], and [`FleetError::NoDatabase`] when there is no file.
    pub fn open(path: &Path) -> Result<Self, FleetError> {
        if !path.is_file() {
            return Err(FleetError::NoDatabase {
                path: path.to_owned(),
            });
        }
        Self::prepare(Connection::open_with_flags(
            path,
            OpenFlags::SQLITE_OPEN_READ_WRITE,
        )?)
    }

    /// A database that lives as long as the value, for tests and rehearsals.
    ///
    /// # Errors
    /// When SQLite cannot allocate it.
    pub fn in_memory() -> Result<Self, FleetError> {
        Self::prepare(Connection::open_in_memory()?)
    }

    fn prepare(mut connection: Connection) -> Result<Self, FleetError> {
        connection.busy_timeout(BUSY_TIMEOUT)?;
        connection.pragma_update(None, "journal_mode", "WAL")?;
        connection.pragma_update(None, "synchronous", "FULL")?;
        connection.pragma_update(None, "foreign_keys", "ON")?;
        migrate(&mut connection)?;
        Ok(Self { connection })
    }

    pub(crate) fn connection(&self) -> &Connection {
        &self.connection
    }

    /// One statement that is not waited for until it is on the disk.
    pub(crate) fn write_soon(
        &self,
        statement: &str,
        parameters: impl rusqlite::Params,
    ) -> Result<(), FleetError> {
        self.connection
            .pragma_update(None, "synchronous", "NORMAL")?;
        let written = self
            .connection
            .prepare_cached(statement)
            .and_then(|mut statement| statement.execute(parameters));
        self.connection.pragma_update(None, "synchronous", "FULL")?;
        Ok(written.map(|_| ())?)
    }

    /// A transaction that holds the writer's place from its start.
    pub(crate) fn write(&mut self) -> Result<Transaction<'_>, FleetError> {
        Ok(self
            .connection
            .transaction_with_behavior(TransactionBehavior::Immediate)?)
    }
}

fn migrate(connection: &mut Connection) -> Result<(), FleetError> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let found: i64 = transaction.pragma_query_value(None, "user_version", |row| row.get(0))?;
    let found = usize::try_from(found).unwrap_or(usize::MAX);
    if found > MIGRATIONS.len() {
        return Err(FleetError::LaterDatabase {
            found,
            known: MIGRATIONS.len(),
        });
    }
    for step in &MIGRATIONS[found..] {
        transaction.execute_batch(step)?;
    }
    transaction.pragma_update(None, "user_version", MIGRATIONS.len() as i64)?;
    Ok(transaction.commit()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_durable_and_at_the_newest_layout() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("fleet.sqlite");
        let store = Store::create(&path).unwrap();
        let pragma = |name| {
            store
                .connection()
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
    fn a_file_of_a_later_version_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("fleet.sqlite");
        Store::create(&path)
            .unwrap()
            .connection
            .pragma_update(None, "user_version", 99)
            .unwrap();
        assert!(matches!(
            Store::open(&path),
            Err(FleetError::LaterDatabase { found: 99, .. })
        ));
    }

    #[test]
    fn a_report_does_not_make_a_database() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("absent.sqlite");
        assert!(matches!(
            Store::open(&path),
            Err(FleetError::NoDatabase { .. })
        ));
        assert!(!path.exists());
    }
}
