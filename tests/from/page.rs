//! The pages themselves: a test runs the config that a reader copies.

use std::fs;
use std::path::Path;

use crate::common::machine::Machine;

/// Returns the blocks of a page that have this language, without the indentation of a list.
pub(crate) fn blocks(page: &str, language: &str) -> Vec<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/from");
    let text = fs::read_to_string(path.join(page)).unwrap();
    let (mut found, mut block) = (Vec::new(), None::<(usize, String)>);
    for line in text.lines() {
        let bare = line.trim_start();
        match &mut block {
            Some(_) if bare == "```" => found.extend(block.take().map(|(_, text)| text)),
            Some((indent, text)) => {
                text.push_str(line.get(*indent..).unwrap_or_default());
                text.push('\n');
            }
            None if bare.strip_prefix("```") == Some(language) => {
                block = Some((line.len() - bare.len(), String::new()));
            }
            None => {}
        }
    }
    found
}

/// Gives a machine the first config of a page, with other paths: each of the pairs must occur in it.
pub(crate) fn settle(machine: &Machine, page: &str, paths: &[(&str, &str)]) {
    machine.write_config(&config(page, paths));
    // The machine's own source, which the page may not have.
    if !config(page, paths).contains("name = \"home\"") {
        let forgotten = machine.run("forget home --yes");
        assert!(
            [Some(0), Some(2)].contains(&forgotten.code),
            "{}",
            forgotten.stderr
        );
    }
}

/// Returns the first config of a page with other paths.
pub(crate) fn config(page: &str, paths: &[(&str, &str)]) -> String {
    let block = blocks(page, "toml").into_iter().next();
    let mut text = block.unwrap_or_else(|| panic!("{page} has no config"));
    for (from, to) in paths {
        assert!(text.contains(from), "{page} has no `{from}` in its config");
        text = text.replace(from, to);
    }
    format!("timezone = \"UTC\"\nstate_dir = \"$T/state\"\n{text}")
}
