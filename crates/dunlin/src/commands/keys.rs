//! `dunlin keys`: keys that sign bundles.

use crate::{Outcome, output};
use anyhow::Result;
use clap::{Args, Subcommand};
use dunlin_host::keys;
use std::path::PathBuf;

#[derive(Subcommand)]
pub enum Command {
    /// Make an Ed25519 key pair: a secret file for signing, a public one for devices
    #[command(after_help = "Example:\n  dunlin keys new release --keys keys")]
    New(New),
}

#[derive(Args)]
pub struct New {
    /// Name of the key
    #[arg(default_value = "signing")]
    name: String,
    /// Folder of the keys; made if it is not there
    #[arg(long, value_name = "DIR", default_value = "keys")]
    keys: PathBuf,
    /// Print what was made as JSON
    #[arg(long)]
    json: bool,
}

impl Command {
    pub fn run(self) -> Result<Outcome> {
        let Command::New(new) = self;
        let created = keys::create(&new.keys, &new.name)?;
        if new.json {
            output::json(&serde_json::json!({
                "id": created.id.to_string(),
                "secret": created.secret_path,
                "public": created.public_path,
            }))?;
        } else {
            output::line(format!("key    {}", created.id))?;
            output::line(format!(
                "secret {} (keep it; it is never shown)",
                created.secret_path.display()
            ))?;
            output::line(format!("public {}", created.public_path.display()))?;
        }
        Ok(Outcome::Done)
    }
}
