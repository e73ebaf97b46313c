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

/// What is said of a host.
const FACTS: [&str; 8] = [
    "version of moe",
    "commit",
    "host",
    "system",
    "instruction set",
    "precision",
    "threads",
    "runs at a time",
];

/// The program and the machine.
pub(super) fn versions(host: &Host) -> Section {
    let rows = FACTS.into_iter().zip(values(host)).map(|(fact, value)| vec![fact.into(), value]);
    Section::new("versions", "Versions and host").blocks([Block::table(["what", "value"], rows)])
}

/// The programs and the machines that have worked on a study.
pub(super) fn hosts(hosts: &[Host]) -> Section {
    let section = Section::new("versions", "Versions and hosts");
    if hosts.is_empty() {
        return section.missing("It is not known which machines have worked on it.");
    }
    section.blocks([Block::table(FACTS, hosts.iter().map(|host| values(host).to_vec()))])
}

/// The facts about a host.
fn values(host: &Host) -> [String; 8] {
    let known = |text: &str| if text.is_empty() { "unknown".to_owned() } else { text.to_owned() };
    let [commit, name] = [&host.commit, &host.name].map(|text| text.as_deref().unwrap_or_default());
    [
        known(&host.version),
        known(commit),
        known(name),
        known(&host.system),
        known(&host.instruction_set),
        known(&host.precision),
        host.threads.to_string(),
        host.jobs.to_string(),
    ]
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
