//! A machine whose mirror is reached by the real ssh, over an sshd of its own.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use super::disks::{Disks, SNAPSHOTS_ALONE, compare_copies};
use crate::common::loopfs::run;
use crate::common::machine::Run;

/// An sshd on 127.0.0.1, with keys and a config of its own.
pub(crate) struct Sshd {
    child: Child,
    pub(crate) port: u16,
}

impl Sshd {
    /// Starts one that lets the key in, for the command if one is given.
    pub(crate) fn start(directory: &Path, forced: Option<&str>) -> Self {
        fs::create_dir_all(directory).unwrap();
        // Its package makes it when the service starts.
        fs::create_dir_all("/run/sshd").unwrap();
        for key in ["host", "user"] {
            let path = directory.join(key);
            if !path.exists() {
                let words = ["-q", "-t", "ed25519", "-N", "", "-f"];
                run(Command::new("ssh-keygen").args(words).arg(path)).unwrap();
            }
        }
        authorize(directory, forced);
        let port = TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap()
            .port();
        let at = directory.display();
        let config = format!(
            "ListenAddress 127.0.0.1\nPort {port}\nHostKey {at}/host\nAuthorizedKeysFile {at}/authorized_keys\n\
             StrictModes no\nUsePAM no\nPasswordAuthentication no\nKbdInteractiveAuthentication no\n\
             PermitRootLogin yes\nPidFile none\n"
        );
        fs::write(directory.join("sshd_config"), config).unwrap();
        let mut child = Command::new("/usr/sbin/sshd")
            .args(["-D", "-e", "-f"])
            .arg(directory.join("sshd_config"))
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        let mut lines = stderr.lines().map(Result::unwrap);
        assert!(
            lines.any(|line| line.contains("Server listening on")),
            "sshd does not listen"
        );
        std::thread::spawn(move || lines.count());
        Self { child, port }
    }
}

impl Drop for Sshd {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Lets the key in, for the command if one is given.
fn authorize(directory: &Path, forced: Option<&str>) {
    let key = fs::read_to_string(directory.join("user.pub")).unwrap();
    let options =
        forced.map(|command| format!("restrict,command=\"{}\" ", command.replace('"', "\\\"")));
    let line = format!("{}{key}", options.unwrap_or_default());
    fs::write(directory.join("authorized_keys"), line).unwrap();
}

/// Returns the command that notes its process id, and becomes the server of the second disk.
fn serving_command(disks: &Disks, options: &str) -> String {
    let noted = disks.machine.path("server-pid");
    let program = env!("CARGO_BIN_EXE_coldchain");
    format!(
        "echo $$ > '{}'; exec {program} mirror-server {options} '{}'",
        noted.display(),
        disks.second.root().display()
    )
}

/// A machine whose mirror is on the second disk, behind an sshd.
pub(crate) struct Reached {
    pub(crate) disks: Disks,
    pub(crate) sshd: Sshd,
    pub(crate) directory: PathBuf,
}

/// What the mirror's config says besides.
const KEEP: &str = "keep = 40\n";

impl Reached {
    /// With a forced command, or one that the config names.
    pub(crate) fn new(seed: u64, is_forced: bool) -> Self {
        let serving = "--keep 40 --timezone UTC --link current";
        Self::serving(seed, is_forced.then_some(serving))
    }

    /// With a forced command that serves by these options, or one that the config names.
    pub(crate) fn serving(seed: u64, forced: Option<&str>) -> Self {
        let disks = Disks::without_mirror(seed);
        let directory = disks.machine.path("sshd");
        let command = forced.map(|options| serving_command(&disks, options));
        let sshd = Sshd::start(&directory, command.as_deref());
        let reached = Self {
            disks,
            sshd,
            directory,
        };
        let host = fs::read_to_string(reached.directory.join("host.pub")).unwrap();
        reached.know(&host);
        // The real ssh, but with none of this user's files.
        let bin = reached.disks.machine.path("bin");
        fs::create_dir(&bin).unwrap();
        let at = reached.disks.machine.path("");
        let known = at.join("known_hosts");
        fs::write(
            at.join("ssh_config"),
            format!(
                "UserKnownHostsFile {0}\nGlobalKnownHostsFile {0}\n",
                known.display()
            ),
        )
        .unwrap();
        let script = format!(
            "#!/bin/sh\necho $$ > {0}/ssh-pid\nexec /usr/bin/ssh -F {0}/ssh_config \"$@\"\n",
            at.display().to_string().trim_end_matches('/')
        );
        fs::write(bin.join("ssh"), script).unwrap();
        fs::set_permissions(bin.join("ssh"), fs::Permissions::from_mode(0o755)).unwrap();
        reached.config(match forced {
            Some(_) => "",
            None => "command = [\"$P\"]\n",
        });
        reached
    }

    /// Writes the host's key, or another, to the known hosts.
    pub(crate) fn know(&self, key: &str) {
        let line = format!("[127.0.0.1]:{} {key}", self.sshd.port);
        fs::write(self.disks.machine.path("known_hosts"), line).unwrap();
    }

    /// Starts the server with other options from now on.
    pub(crate) fn serve(&self, options: &str) {
        authorize(
            &self.directory,
            Some(&serving_command(&self.disks, options)),
        );
    }

    /// The mirror, as the config names it.
    pub(crate) fn url(&self) -> String {
        let second = self.disks.second.root();
        format!(
            "ssh://root@127.0.0.1:{}{}",
            self.sshd.port,
            second.display()
        )
    }

    pub(crate) fn config(&self, more: &str) {
        self.config_to(&self.url(), more);
    }

    pub(crate) fn config_to(&self, url: &str, more: &str) {
        let user = self.directory.join("user");
        let mirror = format!(
            "\n[[mirror]]\nsource = \"home\"\nto = \"{url}\"\nidentity_file = \"{}\"\n{KEEP}{}",
            user.display(),
            more.replace("$P", env!("CARGO_BIN_EXE_coldchain"))
        );
        self.disks.config(&format!("{SNAPSHOTS_ALONE}{mirror}"));
    }

    pub(crate) fn command(&self, words: &str) -> Command {
        let bin = self.disks.machine.path("bin");
        let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap());
        let mut command = self.disks.machine.command(words);
        command.env("PATH", path);
        command
    }

    pub(crate) fn run(&self, words: &str) -> Run {
        let output = self.command(words).output().unwrap();
        Run {
            code: output.status.code(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// The night of a date, and what it sent.
    #[track_caller]
    pub(crate) fn night(&mut self, date: &str) {
        let run = self.run(&format!("backup home {date}"));
        assert_eq!(run.code, Some(0), "{}{}", run.stdout, run.stderr);
        self.disks.mutate();
    }

    /// Waits until something is received in the staging directory, and kills the process that noted its id in a file.
    #[track_caller]
    pub(crate) fn strike_when_staged(&self, staging: &Path, noted: &str) {
        let until = Instant::now() + Duration::from_mins(2);
        while !fs::read_dir(staging).is_ok_and(|mut entries| entries.next().is_some()) {
            assert!(Instant::now() < until, "{noted}: no stream came");
            std::thread::yield_now();
        }
        let id = fs::read_to_string(self.disks.machine.path(noted)).unwrap();
        let id = Pid::from_raw(id.trim().parse().unwrap()).unwrap();
        kill_process(id, Signal::KILL).unwrap();
    }

    #[track_caller]
    pub(crate) fn fails(&self, code: i32, said: &[&str]) {
        let run = self.run("mirror home");
        for said in said {
            assert!(run.stderr.contains(said), "{said}: {}", run.stderr);
        }
        assert_eq!(run.code, Some(code), "{}", run.stderr);
    }

    pub(crate) fn compare(&self) -> usize {
        compare_copies(
            &self.disks.machine.btrfs().path("snapshots"),
            &self.disks.second.path("home"),
        )
    }
}
