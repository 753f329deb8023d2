//! What rsync is asked to do.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use super::program::Rsync;
use crate::model::{PullHost, PullLocation};
use crate::process::ssh_words;

/// Archive mode with access lists, extended attributes, hard links and holes.
const FLAGS: &str = "-aAXHS";

/// The same for files that are written in place: with hard links, rsync writes into a file that the copy shares with a
/// name whose link the source has broken.
const FLAGS_INPLACE: &str = "-aAXS";

/// What rsync is asked to do: to make the content of `to` that of `from`.
#[derive(Debug, Clone)]
pub struct RsyncRequest {
    /// Where it pulls from.
    pub from: PullLocation,
    /// The directory that it pulls into, as rsync sees it.
    pub to: PathBuf,
    /// A directory in `to` for unfinished files. It is neither pulled nor deleted.
    pub staging: OsString,
    /// Paths below `to` that are neither pulled nor deleted.
    pub protected: Vec<PathBuf>,
    /// The key that ssh logs in with.
    pub identity_file: Option<PathBuf>,
    /// Patterns of what is neither pulled nor deleted.
    pub exclude: Vec<String>,
    /// A file with more of them.
    pub exclude_from: Option<PathBuf>,
    /// What starts rsync on the other machine.
    pub rsync_path: Option<String>,
    /// More options.
    pub options: Vec<String>,
    /// Whether changed blocks are written into the files themselves.
    pub inplace: bool,
    /// How long nothing may move.
    pub timeout: Duration,
    /// How many entries it may delete; `None` for no limit.
    pub max_delete: Option<u64>,
    /// Whether it only says what it would do.
    pub is_trial: bool,
}

impl RsyncRequest {
    /// Returns the command, which is not confined yet.
    pub fn command(&self, rsync: &Rsync) -> Command {
        let mut command = rsync.command();
        command.args([
            if self.inplace { FLAGS_INPLACE } else { FLAGS },
            "--numeric-ids",
            "--delete",
            // Times are compared to the nanosecond: a file that changes twice in a second is pulled twice.
            "--modify-window=-1",
            "--stats",
            "--no-human-readable",
        ]);
        if self.is_trial {
            command.arg("--dry-run");
        } else {
            command.arg("--info=progress2");
        }
        if let Some(limit) = self.max_delete {
            command.arg(format!("--max-delete={limit}"));
        }
        if self.inplace {
            command.args(["--inplace", "--no-whole-file"]);
        } else if !self.is_trial {
            let staging = self.to.join(&self.staging);
            // Unfinished files lie there, where no filter keeps a later run from removing them.
            command.arg(option("--temp-dir=", &staging));
            command.arg(option("--partial-dir=", &staging));
        }
        self.add_origin(rsync, &mut command);
        self.add_filters(&mut command);
        if !self.options.iter().any(|it| it.starts_with("--timeout")) {
            command.arg(format!("--timeout={}", self.timeout.as_secs().max(1)));
        }
        command.args(&self.options).arg("--");
        command.arg(match &self.from {
            PullLocation::Here(path) => with_slash(path),
            PullLocation::There(there) => there.rsync_word().into(),
        });
        command.arg(with_slash(&self.to));
        command
    }

    fn add_origin(&self, rsync: &Rsync, command: &mut Command) {
        match &self.from {
            PullLocation::Here(_) => {
                // Without this, a local rsync writes a whole file for a changed block, and so does every archive.
                command.arg("--no-whole-file");
            }
            PullLocation::There(there) => {
                command
                    .arg("-e")
                    .arg(shell_words(there, self.identity_file.as_deref()));
                if rsync.must_protect_paths() {
                    command.arg("--protect-args");
                }
                if let Some(path) = &self.rsync_path {
                    command.arg(format!("--rsync-path={path}"));
                }
            }
        }
    }

    /// The rules that protect come first, because the first that fits counts.
    fn add_filters(&self, command: &mut Command) {
        let protected = self.protected.iter().map(PathBuf::as_path);
        for path in protected.chain([Path::new(&self.staging)]) {
            let mut rule = OsString::from("--filter=- /");
            rule.push(literal_pattern(path));
            command.arg(rule);
        }
        for pattern in &self.exclude {
            command.arg(format!("--exclude={pattern}"));
        }
        if let Some(file) = &self.exclude_from {
            command.arg(option("--exclude-from=", file));
        }
    }
}

fn option(name: &str, value: &Path) -> OsString {
    let mut option = OsString::from(name);
    option.push(value);
    option
}

/// Returns the path of a directory whose content is meant, and not the directory itself.
fn with_slash(path: &Path) -> OsString {
    let mut word = path.as_os_str().to_owned();
    if !word.as_bytes().ends_with(b"/") {
        word.push("/");
    }
    word
}

/// Returns a pattern that fits a path alone. rsync takes a backslash for itself unless the pattern has a wildcard.
fn literal_pattern(path: &Path) -> OsString {
    let bytes = path.as_os_str().as_bytes();
    if !bytes.iter().any(|byte| b"*?[".contains(byte)) {
        return path.as_os_str().to_owned();
    }
    let mut pattern = Vec::new();
    for &byte in bytes {
        if b"*?[\\".contains(&byte) {
            pattern.push(b'\\');
        }
        pattern.push(byte);
    }
    OsString::from_vec(pattern)
}

/// Returns ssh's words on one line, as rsync takes them apart: at spaces that are not in quotes.
fn shell_words(there: &PullHost, identity_file: Option<&Path>) -> OsString {
    // rsync itself says the user. What the user's own config says of connections to share does not work in confinement.
    let mut words = vec![OsString::from("ssh")];
    words.extend(ssh_words(there.port, None, identity_file));
    for option in ["ControlMaster=no", "ControlPath=none", "UpdateHostKeys=no"] {
        words.extend(["-o", option].map(Into::into));
    }
    let quoted: Vec<OsString> = words.iter().map(|word| quoted(word)).collect();
    quoted.join(OsStr::new(" "))
}

/// Quotes a word for rsync, which knows no backslash: a quote is doubled.
fn quoted(word: &OsStr) -> OsString {
    let is_plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-=./_".contains(byte);
    let bytes = word.as_bytes();
    if bytes.iter().all(is_plain) {
        return word.to_owned();
    }
    let mut quoted = vec![b'\''];
    for &byte in bytes {
        if byte == b'\'' {
            quoted.push(byte);
        }
        quoted.push(byte);
    }
    quoted.push(b'\'');
    OsString::from_vec(quoted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_and_paths_are_taken_for_themselves() {
        let there: PullLocation = "ann@nas%%2222:/srv/data".parse().unwrap();
        let PullLocation::There(there) = there else {
            panic!("it is on another machine");
        };
        let words = shell_words(&there, Some(Path::new("/root/my 'own' key")));
        assert_eq!(
            words.to_str().unwrap(),
            "ssh -T -a -x -o BatchMode=yes -o StrictHostKeyChecking=yes -o ClearAllForwardings=yes -o \
             ServerAliveInterval=15 -o ServerAliveCountMax=8 -p 2222 -i '/root/my ''own'' key' -o IdentitiesOnly=yes \
             -o ControlMaster=no -o ControlPath=none -o UpdateHostKeys=no"
        );
        for (path, pattern) in [("a/b", "a/b"), ("a\\b", "a\\b"), ("a\\[*", "a\\\\\\[\\*")] {
            assert_eq!(literal_pattern(Path::new(path)), pattern, "{path}");
        }
        assert_eq!(with_slash(Path::new("/")), "/");
        assert_eq!(with_slash(Path::new("/a")), "/a/");
    }
}
