//! The command line of the agent.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use crate::address::ListenAddress;
use crate::samples::LineFormat;
use crate::upload::BrokerUrl;

const RUN_EXAMPLES: &str = "\
Examples:
  dunlin-agent run --state /var/lib/dunlin --listen tcp:127.0.0.1:7001
  sensor | dunlin-agent run --state state --stdin csv --mqtt mqtt://broker.local:1883
  dunlin-agent run --state state --samples unix:/run/dunlin/samples --samples-format json
  dunlin-agent run --state state --model vision.onnx --stdin json

A line of samples is one reading: an optional time (unix milliseconds or a date) and one value per
channel, or a header first that names them. A line that cannot be read is reported with its number,
counted as an error, and the next one is read.";

/// The target that this program is built for.
pub const DEFAULT_TARGET: &str = if cfg!(target_arch = "aarch64") {
    "linux-aarch64"
} else if cfg!(target_arch = "arm") {
    "linux-armv7"
} else {
    "local"
};

/// A device as a Linux process: runs a model, watches its inputs, keeps records.
#[derive(Debug, Parser)]
#[command(name = "dunlin-agent", version)]
pub struct Command {
    /// What to do.
    #[command(subcommand)]
    pub action: Action,
}

/// What the agent can be told to do.
#[derive(Debug, Subcommand)]
pub enum Action {
    /// Be the device whose state is in a folder.
    Run(RunOptions),
}

/// How to run.
#[derive(Debug, Clone, Args)]
#[command(after_help = RUN_EXAMPLES)]
pub struct RunOptions {
    /// Folder with the device's identity, flash image and sockets; one agent at a time.
    #[arg(long, value_name = "DIR")]
    pub state: PathBuf,

    /// Serve the link here; several times for several places. Whoever reaches it can read records
    /// and feed samples, so keep it to this machine or a network you trust.
    #[arg(long, value_name = "tcp:HOST:PORT|unix:PATH")]
    pub listen: Vec<ListenAddress>,

    /// Let a connection of the link go that was silent for so many seconds.
    #[arg(
        long,
        value_name = "SECONDS",
        default_value_t = 300,
        value_parser = clap::value_parser!(u32).range(1..)
    )]
    pub idle_timeout: u32,

    /// Upload records to this broker (MQTT 5, no TLS).
    #[arg(long, value_name = "mqtt://HOST[:PORT]")]
    pub mqtt: Option<BrokerUrl>,

    /// Read samples from standard input.
    #[arg(long, value_name = "FORMAT")]
    pub stdin: Option<LineFormat>,

    /// Read samples from whoever connects here.
    #[arg(long, value_name = "tcp:HOST:PORT|unix:PATH")]
    pub samples: Option<ListenAddress>,

    /// Format of the lines that come through --samples.
    #[arg(
        long,
        value_name = "FORMAT",
        default_value = "csv",
        requires = "samples"
    )]
    pub samples_format: LineFormat,

    /// Run this ONNX file, without a bundle: its inputs and answers are counted, drift is not
    /// judged. `dunlin package` makes bundles with drift thresholds, for ONNX too.
    #[arg(long, value_name = "FILE", conflicts_with = "bundle")]
    pub model: Option<PathBuf>,

    /// Put and activate this bundle at the start, unless it runs already. One that is refused, for
    /// instance because a newer one ran here, ends the agent with status 2: leave this out where
    /// bundles come over the link.
    #[arg(long, value_name = "FILE")]
    pub bundle: Option<PathBuf>,

    /// Kind of device this is; bundles for another are refused.
    #[arg(long, value_name = "NAME", default_value = DEFAULT_TARGET)]
    pub target: String,

    /// End when standard input does, after the records are on disk.
    #[arg(long, requires = "stdin")]
    pub until_end: bool,
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Command::command().debug_assert();
    }

    #[test]
    fn reads_the_options_of_run() {
        let line = "dunlin-agent run --state s --listen tcp:127.0.0.1:7001 --listen unix:/l \
                    --mqtt mqtt://host --stdin json --samples unix:/s";
        let command = Command::try_parse_from(line.split_whitespace()).expect("parses");
        let Action::Run(options) = command.action;
        assert_eq!(options.listen.len(), 2);
        assert_eq!(options.mqtt.map(|url| url.port), Some(1883));
        assert_eq!(
            (options.stdin, options.samples_format),
            (Some(LineFormat::Json), LineFormat::Csv)
        );
    }

    #[test]
    fn says_what_is_wrong_with_an_option() {
        for (line, reason) in [
            ("dunlin-agent run", "--state"),
            ("dunlin-agent run --state s --listen 7001", "tcp:HOST:PORT"),
            ("dunlin-agent run --state s --mqtt host", "mqtt://"),
            ("dunlin-agent run --state s --stdin xml", "csv"),
        ] {
            let error = Command::try_parse_from(line.split_whitespace()).expect_err(line);
            assert!(error.to_string().contains(reason), "{line}: {error}");
        }
    }
}
