//! Names, labels, channels and baselines of the bundles that devices run, from the bundle files.

use std::path::Path;

use dunlin_wire::bundle::{Bundle, SectionKind, verify};
use dunlin_wire::schema::Schema;
use dunlin_wire::{BundleId, PublicKey};
use rusqlite::{OptionalExtension, params};

use crate::error::Fault;
use crate::{FleetError, Store};

impl Store {
    /// Reads a bundle file and keeps what a report needs of it: until then, windows of this bundle
    /// show channel numbers in place of names, and no thresholds. Registering again is harmless.
    ///
    /// # Errors
    /// When the file cannot be read, is not a bundle signed by one of the `trusted` keys, or the
    /// database fails.
    pub fn register_bundle(
        &mut self,
        path: &Path,
        trusted: &[PublicKey],
    ) -> Result<BundleId, FleetError> {
        let bytes = std::fs::read(path).map_err(|error| FleetError::File {
            path: path.to_owned(),
            error,
        })?;
        let refused = |error| FleetError::Bundle {
            path: path.to_owned(),
            error,
        };
        let bundle = verify(&bytes, trusted).map_err(refused)?;
        let schema = bundle
            .schema()
            .map_err(|error| Fault::damaged("a schema", error).at(path))?;
        self.insert_bundle(&bundle, &schema)?;
        Ok(bundle.id())
    }

    /// The schema section of a bundle that was registered: what `dunlin_wire::schema::Schema::parse` reads.
    ///
    /// # Errors
    /// When the database fails.
    pub fn bundle_schema(&self, bundle: BundleId) -> Result<Option<Vec<u8>>, FleetError> {
        self.reading(|connection| {
            let found = connection.query_row(
                "SELECT schema FROM bundles WHERE bundle = ?1",
                [bundle.to_string()],
                |row| row.get(0),
            );
            Ok(found.optional()?)
        })
    }

    fn insert_bundle(
        &mut self,
        bundle: &Bundle<'_>,
        schema: &Schema<'_>,
    ) -> Result<(), FleetError> {
        let manifest = bundle.manifest();
        let channels: Vec<&str> = schema.channels.iter().map(|channel| channel.name).collect();
        self.writing(|transaction| {
            transaction.execute(
            "INSERT INTO bundles VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8) ON CONFLICT DO NOTHING",
            params![
                bundle.id().to_string(),
                manifest.name,
                manifest.version,
                manifest.target,
                serde_json::json!(channels).to_string(),
                serde_json::json!(&*schema.labels).to_string(),
                bundle.section(SectionKind::SCHEMA).unwrap_or_default(),
                bundle.baseline(),
            ],
        )?;
            Ok(())
        })
    }
}
