//! Where a source is pulled from: a directory here, or one of another machine that ssh reaches.

use std::fmt;
use std::path::{Component, Path, PathBuf};
use std::str::FromStr;

use super::ids::serde_as_text;

/// Where a source is pulled from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PullLocation {
    /// A directory of this machine.
    Here(PathBuf),
    /// A directory of another machine.
    There(PullHost),
}

serde_as_text!(PullLocation);

/// A directory of a machine that ssh reaches: `[USER@]HOST[%%PORT]:/PATH`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PullHost {
    /// The user to log in as; `None` if ssh's own config says.
    pub user: Option<String>,
    /// The host, as ssh is given it: a name, an address or an alias of ssh's own config.
    pub host: String,
    /// The port; `None` if ssh's own config says.
    pub port: Option<u16>,
    /// The directory there, absolute.
    pub path: String,
}

/// Why a text is not a place to pull from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NoPullLocation {
    /// It has none of the forms.
    #[error("it is neither an absolute path without `..` nor [USER@]HOST[%%PORT]:/PATH")]
    Form,
    /// It is a daemon's.
    #[error("it names an rsync daemon, and coldchain pulls by ssh alone")]
    Daemon,
    /// rsync would look for more than this one directory.
    #[error(
        "its path has one of the characters * ? [ \\, which rsync on the other machine replaces"
    )]
    Pattern,
}

impl FromStr for PullLocation {
    type Err = NoPullLocation;

    fn from_str(text: &str) -> Result<Self, NoPullLocation> {
        if text.chars().any(char::is_control) {
            return Err(NoPullLocation::Form);
        }
        if text.starts_with('/') {
            return directory(text).map(Self::Here).ok_or(NoPullLocation::Form);
        }
        let is_daemon = text.split('/').next().is_some_and(|it| it.contains("::"));
        if text.starts_with("rsync://") || (is_daemon && !text.contains('[')) {
            return Err(NoPullLocation::Daemon);
        }
        let there = host(text).ok_or(NoPullLocation::Form)?;
        if there.path.contains(['*', '?', '[', '\\']) {
            return Err(NoPullLocation::Pattern);
        }
        Ok(Self::There(there))
    }
}

/// Reads an absolute path, and drops additional slashes: they make no other directory.
fn directory(text: &str) -> Option<PathBuf> {
    let path = Path::new(text);
    let is_plain = |part| matches!(part, Component::RootDir | Component::Normal(_));
    let fits = path.is_absolute() && path.components().all(is_plain);
    fits.then(|| path.components().collect())
}

fn host(text: &str) -> Option<PullHost> {
    // The path may have an `@` too.
    let (user, rest) = match text.split_once('@') {
        Some((user, rest)) if !user.contains([':', '/']) => (Some(user), rest),
        _ => (None, text),
    };
    let (host, rest) = match rest.strip_prefix('[') {
        Some(address) => address.split_once(']')?,
        None => rest.split_at(rest.find([':', '%'])?),
    };
    let (port, path) = match rest.strip_prefix("%%") {
        Some(port) => {
            let (port, path) = port.split_once(':')?;
            (Some(port.parse().ok().filter(|port| *port != 0)?), path)
        }
        None => (None, rest.strip_prefix(':')?),
    };
    let fits = user.is_none_or(is_user) && is_word(host, b"._-:%");
    fits.then_some(())?;
    let path = directory(path)?.into_os_string().into_string().ok()?;
    Some(PullHost {
        user: user.map(str::to_owned),
        host: host.to_owned(),
        port,
        path,
    })
}

/// Returns whether a text may be a user's name: it must not look like an option of ssh.
pub fn is_user(text: &str) -> bool {
    is_word(text, b"._-$+")
}

fn is_word(text: &str, more: &[u8]) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || more.contains(&byte);
    !text.is_empty() && !text.starts_with('-') && text.bytes().all(fits)
}

impl PullHost {
    /// Returns the word by which rsync knows the directory. Its content is meant, and not the directory itself.
    pub fn rsync_word(&self) -> String {
        let user = self.user.as_ref().map(|user| format!("{user}@"));
        let path = self.path.trim_end_matches('/');
        format!("{}{}:{path}/", user.unwrap_or_default(), self.bracketed())
    }

    fn bracketed(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]", self.host)
        } else {
            self.host.clone()
        }
    }
}

impl fmt::Display for PullLocation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Here(path) => write!(f, "{}", path.display()),
            Self::There(there) => {
                if let Some(user) = &there.user {
                    write!(f, "{user}@")?;
                }
                f.write_str(&there.bracketed())?;
                if let Some(port) = there.port {
                    write!(f, "%%{port}")?;
                }
                write!(f, ":{}", there.path)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Result<String, NoPullLocation> {
        let location: PullLocation = text.parse()?;
        let again: PullLocation = location.to_string().parse().unwrap();
        assert_eq!(again, location, "{text}");
        Ok(match location {
            PullLocation::Here(path) => path.display().to_string(),
            PullLocation::There(it) => format!("{:?} {} {:?}", it.user, it.rsync_word(), it.port),
        })
    }

    #[test]
    fn every_form_is_read_and_written() {
        for (text, expected) in [
            ("/srv//data/", "/srv/data"),
            ("/srv/a:b@c%%d", "/srv/a:b@c%%d"),
            ("nas:/srv/data", "None nas:/srv/data/ None"),
            ("nas:/", "None nas:/ None"),
            ("ann@nas:/srv//a b/", "Some(\"ann\") ann@nas:/srv/a b/ None"),
            ("nas%%2222:/srv", "None nas:/srv/ Some(2222)"),
            (
                "ann@[::1]%%22:/x@y:z",
                "Some(\"ann\") ann@[::1]:/x@y:z/ Some(22)",
            ),
            ("nas:/a@b", "None nas:/a@b/ None"),
        ] {
            assert_eq!(parsed(text).as_deref(), Ok(expected), "{text}");
        }
    }

    #[test]
    fn what_rsync_or_ssh_would_read_otherwise_is_refused() {
        use NoPullLocation::{Daemon, Form, Pattern};
        for (text, expected) in [
            ("", Form),
            ("-e", Form),
            ("-oProxyCommand=x:/srv", Form),
            ("ann@-x:/srv", Form),
            ("-l@nas:/srv", Form),
            ("nas", Form),
            ("nas:", Form),
            ("nas:relative", Form),
            ("nas:~/x", Form),
            ("nas:/a/../b", Form),
            ("na s:/srv", Form),
            ("nas:/sr\nv", Form),
            ("nas:/sr\u{1b}v", Form),
            ("nas%%:/srv", Form),
            ("nas%%0:/srv", Form),
            ("nas%%70000:/srv", Form),
            ("relative/path", Form),
            ("../up", Form),
            ("/a/../b", Form),
            ("nas::module/path", Daemon),
            ("rsync://nas/module", Daemon),
            ("nas:/srv/*", Pattern),
            ("nas:/srv/a[1]", Pattern),
            ("nas:/srv/a\\b", Pattern),
        ] {
            assert_eq!(parsed(text), Err(expected), "{text}");
        }
    }
}
