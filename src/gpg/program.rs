//! The program: where it is, whose keys it uses, and what it inherits.

use std::env;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::error::GpgError;
use crate::process::{self, Program};

/// Where systems have gpg. Under cron, `$PATH` may lack these directories.
const SYSTEM: &str = "/usr/bin:/bin:/usr/local/bin";

/// What gpg, its agent and the agent's pinentry need of the environment.
const KEPT_VARIABLES: [&str; 11] = [
    "GNUPGHOME",
    "GPG_TTY",
    "TERM",
    "DISPLAY",
    "WAYLAND_DISPLAY",
    "XAUTHORITY",
    "XDG_RUNTIME_DIR",
    "DBUS_SESSION_BUS_ADDRESS",
    "USER",
    "LOGNAME",
    "TMPDIR",
];

/// The program for messages.
pub(super) const GPG: Program = Program {
    name: "gpg",
    chatter: &["gpg: encrypted with", "\""],
};

/// The `gpg` program, with the keys of one user.
#[derive(Debug, Clone)]
pub struct Gpg {
    program: PathBuf,
    path: OsString,
    /// The directory of its keys; `None` for the one that it chooses.
    home: Option<PathBuf>,
    /// The user whose keys they are, if root runs this for another user: root's files in that directory would lock the
    /// user out, and the user's agent may know the passphrase.
    owner: Option<(u32, u32)>,
}

impl Gpg {
    /// Finds `gpg` in `$PATH` or the system's directories. `home` is the directory of the keys.
    pub fn find(home: Option<&Path>) -> Result<Self, GpgError> {
        let mut path = env::var_os("PATH").unwrap_or_default();
        if !path.is_empty() {
            path.push(":");
        }
        path.push(SYSTEM);
        Self::find_in(&path, home)
    }

    fn find_in(path: &OsStr, home: Option<&Path>) -> Result<Self, GpgError> {
        let program = env::split_paths(path)
            // An empty entry means the current directory, from which root starts nothing.
            .filter(|directory| directory.is_absolute())
            .map(|directory| directory.join("gpg"))
            .find(|file| process::is_program(file))
            .ok_or_else(|| GpgError::NoProgram {
                path: path.to_string_lossy().into_owned(),
            })?;
        let mut owner = None;
        let home = home.map(|home| {
            let failed = |source| GpgError::NoHome {
                path: home.to_owned(),
                source,
            };
            let absolute = std::path::absolute(home).map_err(failed)?;
            let found = fs::metadata(&absolute).map_err(failed)?;
            if !found.is_dir() {
                return Err(failed(io::ErrorKind::NotADirectory.into()));
            }
            let me = rustix::process::geteuid();
            if me.is_root() && found.uid() != 0 {
                owner = Some((found.uid(), found.gid()));
            }
            Ok(absolute)
        });
        Ok(Self {
            program,
            path: path.to_owned(),
            home: home.transpose()?,
            owner,
        })
    }

    /// Returns the path of the program.
    pub fn program(&self) -> &Path {
        &self.program
    }

    /// Returns the version that it prints, which shows that it can be run.
    pub fn version(&self) -> Result<String, GpgError> {
        let mut command = self.command();
        command.arg("--version");
        let printed = process::run(command, GPG, "print its version")?;
        let printed = String::from_utf8_lossy(&printed);
        let first = printed.lines().next().unwrap_or_default();
        let version = first.rsplit(' ').next().unwrap_or_default();
        Ok(version.to_owned())
    }

    /// Returns where it keeps its keys, for messages.
    pub fn home(&self) -> String {
        match (&self.home, env::var_os("GNUPGHOME"), env::var_os("HOME")) {
            (Some(home), ..) => home.display().to_string(),
            (None, Some(home), _) if !home.is_empty() => PathBuf::from(home).display().to_string(),
            (None, _, Some(home)) => PathBuf::from(home).join(".gnupg").display().to_string(),
            (None, _, None) => "its own directory".to_owned(),
        }
    }

    /// Refuses a keyring without any secret key, before anything is asked for that costs money.
    pub fn require_secret_key(&self) -> Result<(), GpgError> {
        let mut command = self.command();
        command.args(["--with-colons", "--list-secret-keys"]);
        let listed = process::run(command, GPG, "list the secret keys")?;
        let listed = String::from_utf8_lossy(&listed);
        // `#` in field 15 says that the secret half is not there.
        let is_there = |line: &str| {
            let mut fields = line.split(':');
            let is_secret = matches!(fields.next(), Some("sec" | "ssb"));
            is_secret && fields.nth(13) != Some("#")
        };
        if listed.lines().any(is_there) {
            return Ok(());
        }
        Err(GpgError::NoKeys { home: self.home() })
    }

    /// Returns a command that runs the program with a fixed language, without the user's gpg.conf, and with nothing of
    /// the environment that changes what it does. It asks for a passphrase by its agent alone.
    pub(super) fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command
            .env_clear()
            .env("PATH", &self.path)
            .env("LC_ALL", "C")
            .current_dir("/");
        for name in KEPT_VARIABLES {
            if let Some(value) = env::var_os(name) {
                command.env(name, value);
            }
        }
        if env::var_os("GPG_TTY").is_none()
            && let Ok(terminal) = rustix::termios::ttyname(io::stdin(), Vec::new())
        {
            // The program has a session of its own, and finds no terminal by itself.
            command.env("GPG_TTY", OsStr::new(&*terminal.to_string_lossy()));
        }
        match (&self.home, env::var_os("HOME")) {
            // With the user's usual directory, gpg finds the agent that the user has running.
            (Some(home), _) if home.ends_with(".gnupg") => {
                command.env("HOME", home.parent().unwrap_or(home));
            }
            (_, Some(home)) => {
                command.env("HOME", home);
            }
            (_, None) => {}
        }
        if let Some(home) = &self.home {
            command.env_remove("GNUPGHOME");
            command.arg("--homedir").arg(home);
        }
        if let Some((user, group)) = self.owner {
            // This also drops the other groups of root.
            command.uid(user).gid(group).env_remove("XDG_RUNTIME_DIR");
        }
        command.args(["--no-options", "--batch", "--no-tty", "--no-verbose"]);
        command
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_program_and_a_missing_directory_are_errors() {
        let error = Gpg::find_in(OsStr::new("/nowhere:relative:"), None).unwrap_err();
        assert!(
            error.is_missing() && error.to_string().contains("/nowhere"),
            "{error}"
        );
        for home in ["/does/not/exist", "/etc/passwd"] {
            let error = Gpg::find(Some(Path::new(home))).unwrap_err();
            assert!(matches!(error, GpgError::NoHome { .. }), "{error}");
            assert!(error.is_wrong_input());
        }
    }

    #[test]
    fn an_empty_keyring_is_refused() {
        let home = tempfile::tempdir().unwrap();
        let gpg = Gpg::find(Some(home.path())).unwrap();
        let error = gpg.require_secret_key().unwrap_err();
        assert!(matches!(error, GpgError::NoKeys { .. }), "{error}");
    }
}
