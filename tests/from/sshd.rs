//! Hosts that are pulled: an sshd of the test's own, on a port for each, and an ssh that knows nothing else.

use std::fmt::Write as _;
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crate::common::loopfs::run;

/// An sshd on 127.0.0.1 that listens on several ports.
pub(crate) struct Hosts {
    child: Child,
    pub(crate) ports: Vec<u16>,
    bin: PathBuf,
}

impl Hosts {
    /// Starts it; keys, config and the directory `bin` with the client are made in `directory`.
    pub(crate) fn start(directory: &Path, hosts: usize) -> Self {
        fs::create_dir_all(directory).unwrap();
        // Its package makes it when the service starts.
        fs::create_dir_all("/run/sshd").unwrap();
        for key in ["host", "user"] {
            let words = ["-q", "-t", "ed25519", "-N", "", "-f"];
            run(Command::new("ssh-keygen")
                .args(words)
                .arg(directory.join(key)))
            .unwrap();
        }
        let at = directory.display();
        fs::copy(
            directory.join("user.pub"),
            directory.join("authorized_keys"),
        )
        .unwrap();
        // All are held until each is known, so that no two are the same.
        let free: Vec<_> = (0..hosts)
            .map(|_| TcpListener::bind("127.0.0.1:0").unwrap())
            .collect();
        let ports: Vec<u16> = free
            .iter()
            .map(|listener| listener.local_addr().unwrap().port())
            .collect();
        drop(free);
        let (mut listening, mut known) = (String::new(), String::new());
        let host = fs::read_to_string(directory.join("host.pub")).unwrap();
        for port in &ports {
            writeln!(listening, "Port {port}").unwrap();
            write!(known, "[127.0.0.1]:{port} {host}").unwrap();
        }
        let config = format!(
            "ListenAddress 127.0.0.1\n{listening}HostKey {at}/host\nAuthorizedKeysFile {at}/authorized_keys\n\
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
        for _ in &ports {
            assert!(
                lines.any(|line| line.contains("Server listening on")),
                "sshd does not listen"
            );
        }
        std::thread::spawn(move || lines.count());
        fs::write(directory.join("known_hosts"), known).unwrap();
        fs::write(
            directory.join("ssh_config"),
            format!(
                "UserKnownHostsFile {at}/known_hosts\nGlobalKnownHostsFile {at}/known_hosts\nIdentityFile {at}/user\n"
            ),
        )
        .unwrap();
        let bin = directory.join("bin");
        fs::create_dir(&bin).unwrap();
        let script = format!("#!/bin/sh\nexec /usr/bin/ssh -F {at}/ssh_config \"$@\"\n");
        program(&bin.join("ssh"), &script);
        Self { child, ports, bin }
    }

    /// Lets a command find the client of these hosts.
    pub(crate) fn reach(&self, command: &mut Command) {
        in_path(command, &self.bin);
    }

    /// The directory of the programs that these commands find first.
    pub(crate) fn bin(&self) -> &Path {
        &self.bin
    }
}

impl Drop for Hosts {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Lets a command find the programs in a directory first.
pub(crate) fn in_path(command: &mut Command, bin: &Path) {
    let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap());
    command.env("PATH", path);
}

/// Writes a script that can be run.
pub(crate) fn program(path: &Path, script: &str) {
    fs::write(path, script).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}
