//! Where a mirror is: a directory here, or one on another machine that ssh reaches.

use std::fmt;
use std::path::{Component, Path, PathBuf};
use std::str::FromStr;

use super::ids::serde_as_text;

/// Where a mirror is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum MirrorLocation {
    /// A directory of this machine.
    Directory(PathBuf),
    /// A directory of another machine.
    Ssh(SshLocation),
}

serde_as_text!(MirrorLocation);

/// A directory of a machine that ssh reaches: `ssh://[USER@]HOST[:PORT]/PATH`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SshLocation {
    /// The user to log in as; `None` if ssh's own config says.
    pub user: Option<String>,
    /// The host, as ssh is given it: a name, an address or an alias of ssh's own config.
    pub host: String,
    /// The port; `None` if ssh's own config says.
    pub port: Option<u16>,
    /// The directory there, absolute.
    pub path: PathBuf,
}

/// Why a text is not a mirror's location.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is neither an absolute path without `..` nor ssh://[USER@]HOST[:PORT]/PATH")]
pub struct NoMirrorLocation(String);

impl MirrorLocation {
    /// Returns whether it is on another machine.
    pub fn is_remote(&self) -> bool {
        matches!(self, Self::Ssh(_))
    }
}

impl FromStr for MirrorLocation {
    type Err = NoMirrorLocation;

    fn from_str(text: &str) -> Result<Self, NoMirrorLocation> {
        let parsed = match text.strip_prefix("ssh://") {
            None => directory(text).map(Self::Directory),
            Some(rest) => ssh(rest).map(Self::Ssh),
        };
        parsed.ok_or_else(|| NoMirrorLocation(text.to_owned()))
    }
}

/// Reads an absolute path, and drops additional slashes: they make no other directory.
fn directory(text: &str) -> Option<PathBuf> {
    let path = Path::new(text);
    let is_plain = |part| matches!(part, Component::RootDir | Component::Normal(_));
    let fits = path.is_absolute() && path.components().all(is_plain) && !text.contains('\0');
    fits.then(|| path.components().collect())
}

fn ssh(rest: &str) -> Option<SshLocation> {
    let (machine, path) = rest.split_at(rest.find('/')?);
    let (user, machine) = match machine.rsplit_once('@') {
        Some((user, machine)) => (Some(user), machine),
        None => (None, machine),
    };
    let (host, port) = match machine.strip_prefix('[') {
        Some(address) => {
            let (address, after) = address.split_once(']')?;
            let port = match after {
                "" => None,
                after => Some(after.strip_prefix(':')?),
            };
            (address, port)
        }
        None => match machine.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (machine, None),
        },
    };
    // Neither may look like an option of ssh.
    let is_word = |text: &str, more: &[u8]| {
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || more.contains(&byte);
        !text.is_empty() && !text.starts_with('-') && text.bytes().all(fits)
    };
    let fits = user.is_none_or(|user| is_word(user, b"._-$+")) && is_word(host, b"._-:%");
    let port = match port {
        None => None,
        Some(port) => Some(port.parse().ok().filter(|port| *port != 0)?),
    };
    fits.then_some(())?;
    Some(SshLocation {
        user: user.map(str::to_owned),
        host: host.to_owned(),
        port,
        path: directory(path)?,
    })
}

impl fmt::Display for MirrorLocation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Directory(path) => write!(f, "{}", path.display()),
            Self::Ssh(ssh) => {
                f.write_str("ssh://")?;
                if let Some(user) = &ssh.user {
                    write!(f, "{user}@")?;
                }
                if ssh.host.contains(':') {
                    write!(f, "[{}]", ssh.host)?;
                } else {
                    f.write_str(&ssh.host)?;
                }
                if let Some(port) = ssh.port {
                    write!(f, ":{port}")?;
                }
                write!(f, "{}", ssh.path.display())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_location_is_a_plain_path_or_an_ssh_url() {
        for (text, same) in [
            ("/mnt/second", "/mnt/second"),
            ("//mnt//second/", "/mnt/second"),
            ("ssh://host/p", "ssh://host/p"),
            ("ssh://ann@host:2222//p/", "ssh://ann@host:2222/p"),
            ("ssh://[fe80::1%eth0]:22/p", "ssh://[fe80::1%eth0]:22/p"),
            ("ssh://[::1]/p", "ssh://[::1]/p"),
        ] {
            let parsed: MirrorLocation = text.parse().unwrap();
            assert_eq!(parsed.to_string(), same);
            assert_eq!(same.parse(), Ok(parsed));
        }
        for text in [
            "",
            "mnt",
            "/mnt/../etc",
            "/mnt/\0",
            "ssh://host",
            "ssh:///p",
            "ssh://-oProxyCommand=x/p",
            "ssh://-l@host/p",
            "ssh://a b@host/p",
            "ssh://host:0/p",
            "ssh://host:65536/p",
            "ssh://host:/p",
            "ssh://[::1/p",
            "ssh://[::1]22/p",
            "ssh://host/../p",
            "shell://cmd",
        ] {
            assert!(text.parse::<MirrorLocation>().is_err(), "{text}");
        }
    }
}
