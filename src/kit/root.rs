//! The root key in a kit: its public half on a line, its secret in minisign's format.

use std::fmt::Write as _;

use crate::ledger::SigningKey;

/// How many characters fit on a printed line after `#   `.
const COLUMNS: usize = 72;

/// The prefix of the line with the public key.
pub(super) const PUBLIC: &str = "# root public key: ";

/// The prefix of each line of the secret.
pub(super) const INDENT: &str = "#   ";

/// How minisign's secret key files begin.
pub(super) const COMMENT: &str = "untrusted comment: ";

/// Returns the section with the root key, which the ledgers' signatures depend on.
pub(super) fn root_section(root: &SigningKey) -> String {
    let mut text = format!(
        "\
#
{PUBLIC}{}
# Ledger entries are signed by keys that this one vouches for. Its secret, in
# minisign's format, the second line folded:
#
",
        root.public()
    );
    for line in root.to_file_text().lines() {
        let mut left = line;
        while !left.is_empty() {
            // Base64 and a comment: every byte is a character.
            let (now, later) = left.split_at(left.len().min(COLUMNS));
            writeln!(text, "{INDENT}{now}").expect("writing to a string does not fail");
            left = later;
        }
    }
    text
}
