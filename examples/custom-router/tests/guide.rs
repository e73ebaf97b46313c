//! `docs/write-your-own-router.md` shows the files of this package as they are.

use moe_routers::conformance::CHECKS;

const GUIDE: &str = include_str!("../../../docs/write-your-own-router.md");
const ROUTER: &str = include_str!("../src/router.rs");

/// Whether a code block of the guide is this text.
fn shows(text: &str) -> bool {
    GUIDE
        .split("\n```")
        .any(|part| part.split_once('\n').is_some_and(|(_, code)| code == text.trim_end()))
}

#[test]
fn the_guide_shows_these_files() {
    for (name, text) in [
        ("src/router.rs", ROUTER),
        ("src/main.rs", include_str!("../src/main.rs")),
        ("tests/conformance.rs", include_str!("conformance.rs")),
    ] {
        assert!(shows(text), "docs/write-your-own-router.md has not {name} as it is");
        assert!(!shows(&text.replacen("use ", "use  ", 1)), "a change of {name} would not be seen");
    }
}

#[test]
fn the_guide_names_every_check() {
    for check in CHECKS {
        assert!(GUIDE.contains(&format!("`{}`", check.name)), "{}", check.name);
    }
}

#[test]
fn a_router_is_a_short_file() {
    let lines = ROUTER.lines().count();
    assert!(lines <= 58, "{lines} lines");
}
