//! Which of rsync's options a pull may have.
//!
//! An option is known to do no harm, or it is refused: some start programs, read or write files elsewhere, delete
//! more, or change what coldchain's own options say.

/// Options without a value.
const WORDS: &[&str] = &[
    "-z",
    "--compress",
    "-x",
    "--one-file-system",
    "-c",
    "--checksum",
    "-I",
    "--ignore-times",
    "-W",
    "--whole-file",
    "-F",
    "-U",
    "--atimes",
    "-N",
    "--crtimes",
    "--open-noatime",
    "--fake-super",
    "--fuzzy",
    "--preallocate",
    "--fsync",
    "-4",
    "--ipv4",
    "-6",
    "--ipv6",
    "--no-acls",
    "--no-xattrs",
    "--no-hard-links",
    "--no-sparse",
    "--no-devices",
    "--no-specials",
    "--no-D",
    "--no-perms",
    "--no-owner",
    "--no-group",
    "--no-times",
    "--omit-dir-times",
    "--omit-link-times",
];

/// Options with a value after `=`.
const WITH_VALUE: &[&str] = &[
    "--compress-choice",
    "--compress-level",
    "--compress-threads",
    "--skip-compress",
    "--checksum-choice",
    "--bwlimit",
    "--timeout",
    "--filter",
    "--exclude",
    "--include",
    "--max-size",
    "--min-size",
    "--chmod",
    "--chown",
    "--usermap",
    "--groupmap",
    "--iconv",
    "--block-size",
    "--max-alloc",
];

/// Why a pattern or rule may not be there.
pub(super) const LIST_CLEARED: &str =
    "it clears the list of patterns, and with it those that protect subvolumes in the copy";

const NOT_KNOWN: &str = "it is not among the options that a pull may have";
const NEEDS_VALUE: &str = "its value belongs to it: write --NAME=VALUE";
const TAKES_NONE: &str = "it takes no value";
const READS_A_FILE: &str = "it reads rules from a file; set `exclude_from` for that";

/// Returns whether rsync takes a pattern for the word that clears the list.
pub fn clears_the_list(pattern: &str) -> bool {
    let pattern = pattern.trim();
    pattern.starts_with('!') || pattern == "clear"
}

/// Judges an option. The error says why it is refused.
pub(super) fn judged(option: &str) -> Result<(), &'static str> {
    if option.chars().any(char::is_control) {
        return Err(NOT_KNOWN);
    }
    let (name, value) = match option.split_once('=') {
        Some((name, value)) => (name, Some(value)),
        None => (option, None),
    };
    match value {
        None if WORDS.contains(&name) => Ok(()),
        None if WITH_VALUE.contains(&name) => Err(NEEDS_VALUE),
        Some(value) if WITH_VALUE.contains(&name) && !value.is_empty() => match name {
            "--filter" => rule(value),
            "--exclude" | "--include" if clears_the_list(value) => Err(LIST_CLEARED),
            _ => Ok(()),
        },
        Some(_) if WORDS.contains(&name) => Err(TAKES_NONE),
        _ => Err(NOT_KNOWN),
    }
}

/// Judges a rule of `--filter`. Merge files in the directories that are pulled may stay: what they clear is their own.
fn rule(rule: &str) -> Result<(), &'static str> {
    let rule = rule.trim_start();
    if clears_the_list(rule) {
        return Err(LIST_CLEARED);
    }
    if rule.starts_with('.') || rule.starts_with("merge") {
        return Err(READS_A_FILE);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_options_that_are_known_to_be_harmless_are_accepted() {
        for option in [
            "-z",
            "--compress",
            "--bwlimit=2m",
            "--one-file-system",
            "--chmod=Du+rwx",
            "--fake-super",
            "--filter=- /tmp/",
            "--filter=P /keep/",
            "--filter=: .rsync-filter",
            "--exclude=*.o",
            "--timeout=60",
        ] {
            assert_eq!(judged(option), Ok(()), "{option}");
        }
        for (option, why) in [
            ("-e", NOT_KNOWN),
            ("-essh -oProxyCommand=x", NOT_KNOWN),
            ("--rsh=sh", NOT_KNOWN),
            ("-M--fake-super", NOT_KNOWN),
            ("--remote-option=--log-file=/x", NOT_KNOWN),
            ("--rsync-path=x", NOT_KNOWN),
            ("--delete", NOT_KNOWN),
            ("--delete-excluded", NOT_KNOWN),
            ("--ignore-errors", NOT_KNOWN),
            ("--force", NOT_KNOWN),
            ("--files-from=/etc/x", NOT_KNOWN),
            ("--backup-dir=/etc", NOT_KNOWN),
            ("--backup", NOT_KNOWN),
            ("--temp-dir=/tmp", NOT_KNOWN),
            ("--partial-dir=/tmp", NOT_KNOWN),
            ("--link-dest=/x", NOT_KNOWN),
            ("--log-file=/etc/x", NOT_KNOWN),
            ("--write-batch=/etc/x", NOT_KNOWN),
            ("--trust-sender", NOT_KNOWN),
            ("--keep-dirlinks", NOT_KNOWN),
            ("--copy-links", NOT_KNOWN),
            ("--inplace", NOT_KNOWN),
            ("--password-file=/x", NOT_KNOWN),
            ("-zx", NOT_KNOWN),
            ("-ze", NOT_KNOWN),
            ("--", NOT_KNOWN),
            ("/etc", NOT_KNOWN),
            ("", NOT_KNOWN),
            ("-z\n-e", NOT_KNOWN),
            ("--bwlimit", NEEDS_VALUE),
            ("--bwlimit=", NOT_KNOWN),
            ("--compress=x", TAKES_NONE),
            ("--filter=!", LIST_CLEARED),
            ("--filter=clear", LIST_CLEARED),
            ("--filter= !", LIST_CLEARED),
            ("--exclude=!", LIST_CLEARED),
            ("--filter=. /etc/x", READS_A_FILE),
            ("--filter=merge /etc/x", READS_A_FILE),
        ] {
            assert_eq!(judged(option), Err(why), "{option}");
        }
    }
}
