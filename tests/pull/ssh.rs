//! Sources that are pulled over a real ssh, whose server is this test's own.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use super::pulled::Pulled;
use crate::common::loopfs::{real_btrfs_available, run};
use crate::common::tree::mutate_tree;

/// A machine that pulls its source from an sshd on 127.0.0.1.
struct Reached {
    pulled: Pulled,
    sshd: Child,
    port: u16,
    directory: PathBuf,
}

impl Reached {
    fn new(seed: u64) -> Self {
        Self::forced(seed, "")
    }

    /// The key may start this command alone, if one is given.
    fn forced(seed: u64, command: &str) -> Self {
        let pulled = Pulled::new(seed);
        let directory = pulled.machine.path("it's ssh");
        fs::create_dir(&directory).unwrap();
        fs::create_dir_all("/run/sshd").unwrap();
        for key in ["host", "user", "other"] {
            let words = ["-q", "-t", "ed25519", "-N", "", "-f"];
            run(Command::new("ssh-keygen")
                .args(words)
                .arg(directory.join(key)))
            .unwrap();
        }
        let key = fs::read_to_string(directory.join("user.pub")).unwrap();
        let options = match command {
            "" => String::new(),
            command => format!("restrict,command=\"{command}\" "),
        };
        fs::write(directory.join("authorized_keys"), format!("{options}{key}")).unwrap();
        let port = TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap()
            .port();
        let at = directory.display();
        let config = format!(
            "ListenAddress 127.0.0.1\nPort {port}\nHostKey \"{at}/host\"\nAuthorizedKeysFile \"{at}/authorized_keys\"\n\
             StrictModes no\nUsePAM no\nPasswordAuthentication no\nKbdInteractiveAuthentication no\n\
             PermitRootLogin yes\nPidFile none\n"
        );
        fs::write(directory.join("sshd_config"), config).unwrap();
        let mut sshd = Command::new("/usr/sbin/sshd")
            .args(["-D", "-e", "-f"])
            .arg(directory.join("sshd_config"))
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(sshd.stderr.take().unwrap())
            .lines()
            .map(Result::unwrap);
        assert!(
            lines.any(|line| line.contains("Server listening on")),
            "sshd does not listen"
        );
        std::thread::spawn(move || lines.count());
        let reached = Self {
            pulled,
            sshd,
            port,
            directory,
        };
        let host = fs::read_to_string(reached.directory.join("host.pub")).unwrap();
        reached.know(&host);
        // The real ssh, but with none of this user's files. It also says what it was started with.
        let bin = reached.pulled.machine.path("bin");
        fs::create_dir_all(&bin).unwrap();
        let known = reached
            .pulled
            .machine
            .path("known_hosts")
            .display()
            .to_string();
        let config = reached.pulled.machine.path("ssh_config");
        fs::write(
            &config,
            format!("UserKnownHostsFile {known}\nGlobalKnownHostsFile {known}\nControlMaster auto\nControlPath /tmp/cm-%C\n"),
        )
        .unwrap();
        let script = format!(
            "#!/bin/sh\nexec /usr/bin/ssh -F {} \"$@\"\n",
            config.display()
        );
        fs::write(bin.join("ssh"), script).unwrap();
        super::pulled::mode(&bin.join("ssh"), 0o755);
        reached.config("");
        reached
    }

    /// Writes the host's key, or another, to the known hosts.
    fn know(&self, key: &str) {
        let line = format!("[127.0.0.1]:{} {key}", self.port);
        fs::write(self.pulled.machine.path("known_hosts"), line).unwrap();
    }

    fn from(&self) -> String {
        format!("root@127.0.0.1%%{}:$FS/origin", self.port)
    }

    fn config(&self, more: &str) {
        self.config_from(&self.from(), more);
    }

    fn config_from(&self, from: &str, more: &str) {
        let user = self.directory.join("user");
        let key = if more.contains("identity_file") {
            String::new()
        } else {
            format!("identity_file = \"{}\"\n", user.display())
        };
        self.pulled.config_from(from, &format!("{key}{more}"));
    }
}

impl Drop for Reached {
    fn drop(&mut self) {
        let _ = self.sshd.kill();
        let _ = self.sshd.wait();
    }
}

#[test]
fn nights_are_pulled_over_ssh() {
    if !real_btrfs_available() {
        return;
    }
    let mut reached = Reached::new(41);
    for day in 1..=3 {
        reached.pulled.does(&format!("backup home 2024-01-0{day}"));
        reached.pulled.is_equal();
        let origin = reached.pulled.origin();
        mutate_tree(&origin, &mut reached.pulled.rng);
    }
    // User and port may have keys of their own, and a path that a shell would take apart is taken for itself.
    let odd = reached.pulled.machine.btrfs().path("it's a $(dir) \"; x");
    fs::rename(reached.pulled.origin(), &odd).unwrap();
    let from = format!("127.0.0.1:{}", odd.display()).replace('"', "\\\"");
    reached.config_from(
        &from,
        &format!("user = \"root\"\nport = {}\ninplace = true\n", reached.port),
    );
    reached.pulled.fails("pull", 2, &["has several names"]);
    reached.config_from(
        &from,
        &format!(
            "user = \"root\"\nport = {}\nrsync_path = \"nice rsync\"\n",
            reached.port
        ),
    );
    reached.pulled.does("backup home 2024-01-04");
    super::pulled::is_equal(&odd, &reached.pulled.snapshot("2024-01-04"));
}

#[test]
fn what_keeps_a_host_from_being_pulled_is_named_with_what_to_do() {
    if !real_btrfs_available() {
        return;
    }
    let reached = Reached::new(42);
    let pulled = &reached.pulled;
    pulled.does("backup home 2024-01-01");
    let host = fs::read_to_string(reached.directory.join("host.pub")).unwrap();
    reached.know(&fs::read_to_string(reached.directory.join("other.pub")).unwrap());
    pulled.fails(
        "pull",
        1,
        &[
            "REMOTE HOST IDENTIFICATION HAS CHANGED",
            "find out why the host has another key",
        ],
    );
    fs::write(pulled.machine.path("known_hosts"), "").unwrap();
    pulled.fails(
        "pull",
        1,
        &["Host key verification failed", "log in once by hand"],
    );
    reached.know(&host);
    let other = reached.directory.join("other").display().to_string();
    reached.config(&format!("identity_file = \"{other}\"\n"));
    pulled.fails(
        "pull",
        1,
        &["Permission denied (publickey", "authorized_keys"],
    );
    let closed = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    reached.config_from(&format!("root@127.0.0.1%%{closed}:/srv"), "");
    pulled.fails("pull", 1, &["Connection refused", "check the port"]);
    reached.config_from("root@no-such-host.invalid:/srv", "");
    pulled.fails(
        "pull",
        1,
        &["Could not resolve hostname", "check the host's name"],
    );
    reached.config_from(
        &reached.from().replace("origin", "nowhere"),
        "allow_unreadable = true\n",
    );
    pulled.fails(
        "pull",
        1,
        &["No such file or directory", "check the path in `from`"],
    );
    reached.config("rsync_path = \"/no/such/rsync\"\n");
    pulled.fails("pull", 8, &["/no/such/rsync", "install rsync there"]);
    reached.config("rsync_path = \"echo Welcome to this machine; rsync\"\n");
    pulled.fails(
        "pull",
        1,
        &[
            "is your shell clean?",
            "let the shell of that user print nothing",
        ],
    );
    reached.config("rsync_path = \"sleep 600;\"\ntimeout = \"1s\"\n");
    pulled.fails("pull", 1, &["exit code 30", "set a longer `timeout`"]);
    reached.config("rsync_path = \"head -c 100000 /dev/urandom #\"\n");
    let run = pulled.run("pull");
    assert_eq!(run.code, Some(1), "{}", run.stderr);
    assert!(run.stderr.len() < 4000, "{}", run.stderr.len());
    // Nothing of all that has begun to change the copy.
    pulled.is_equal();
    pulled.does("snapshot");
    reached.config("");
    pulled.does("pull");
}

#[test]
fn a_connection_that_is_cut_leaves_a_copy_of_which_no_snapshot_is_made() {
    if !real_btrfs_available() {
        return;
    }
    let reached = Reached::new(43);
    let pulled = &reached.pulled;
    fs::write(pulled.origin().join("zz-large"), vec![1; 8 << 20]).unwrap();
    // The first rsync there is the trial's; the connection of the second breaks in the middle of the data.
    let mark = pulled.machine.path("second").display().to_string();
    let cut = format!(
        "f() {{ if [ -e {mark} ]; then rsync \\\"$@\\\" | {{ dd bs=4096 count=500 2>/dev/null; kill -9 $PPID; }}; else touch {mark}; \
         rsync \\\"$@\\\"; fi; }}; f"
    );
    reached.config(&format!("rsync_path = \"{cut}\"\n"));
    pulled.fails("backup home 2024-01-01", 1, &["it continues"]);
    assert!(pulled.copy().join(".coldchain-pull").exists());
    assert!(!pulled.snapshot("2024-01-01").exists());
    pulled.fails("snapshot", 1, &["did not end well"]);
    reached.config("");
    pulled.does("backup home 2024-01-01");
    pulled.is_equal();
    super::pulled::is_equal(&pulled.origin(), &pulled.snapshot("2024-01-01"));
}

#[test]
fn a_key_that_may_only_read_one_directory_is_enough() {
    if !real_btrfs_available() {
        return;
    }
    let Some(rrsync) = ["/usr/bin/rrsync", "/usr/share/doc/rsync/scripts/rrsync"]
        .into_iter()
        .find(|path| std::path::Path::new(path).exists())
    else {
        eprintln!("skipped: there is no rrsync");
        return;
    };
    let reached = Reached::forced(44, &format!("{rrsync} -ro /"));
    reached.pulled.does("pull");
    reached.pulled.is_equal();
}
