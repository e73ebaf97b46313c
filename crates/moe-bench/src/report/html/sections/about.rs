//! What made the results: configuration, versions and command.

use crate::config::Config;
use crate::experiment::metadata::Host;
use crate::report::document::Block;
use crate::report::html::section::{Part, Section};

pub(super) fn configuration(config: &Config) -> Section {
    let text = Block::Code("toml", config.to_toml());
    Section::new("configuration", "Configuration")
        .with([Part::Folded("The complete configuration".into(), text)])
}

/// The program and the machine.
pub(super) fn versions(host: &Host) -> Section {
    let unknown = || "unknown".to_owned();
    let lines = [
        ("version of moe", host.version.clone()),
        ("commit", host.commit.clone().unwrap_or_else(unknown)),
        ("host", host.name.clone().unwrap_or_else(unknown)),
        ("system", host.system.clone()),
        ("instruction set", host.instruction_set.clone()),
        ("precision", host.precision.clone()),
        ("threads", host.threads.to_string()),
        ("runs at a time", host.jobs.to_string()),
    ];
    let rows = lines.into_iter().map(|(name, value)| {
        vec![name.to_owned(), if value.is_empty() { unknown() } else { value }]
    });
    Section::new("versions", "Versions and host").blocks([Block::table(["what", "value"], rows)])
}

/// The command that makes the same results, and what stands in it.
pub(super) fn command(command: &str, note: &str) -> Section {
    Section::new("command", "Command")
        .blocks([Block::Code("sh", format!("{command}\n")), Block::Paragraph(note.into())])
}

/// The routers in a title, where there are few.
pub(super) fn in_title(routers: &[String]) -> String {
    match routers.len() {
        0..=4 => routers.join(", "),
        count => format!("{count} routers"),
    }
}
