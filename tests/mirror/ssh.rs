//! Mirrors over a real ssh, whose server is this test's own.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use super::disks::{Disks, SNAPSHOTS_ALONE, compare_copies, names, sent};
use crate::common::loopfs::{real_btrfs_available, run};
use crate::common::machine::Run;

/// An sshd on 127.0.0.1, with keys and a config of its own.
struct Sshd {
    child: Child,
    port: u16,
}

impl Sshd {
    /// Starts one that lets the key in, for the command if one is given.
    fn start(directory: &Path, forced: Option<&str>) -> Self {
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
        let key = fs::read_to_string(directory.join("user.pub")).unwrap();
        let options =
            forced.map(|command| format!("restrict,command=\"{}\" ", command.replace('"', "\\\"")));
        let line = format!("{}{key}", options.unwrap_or_default());
        fs::write(directory.join("authorized_keys"), line).unwrap();
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

/// A machine whose mirror is on the second disk, behind an sshd.
struct Reached {
    disks: Disks,
    sshd: Sshd,
    directory: PathBuf,
}

/// What the mirror's config says besides.
const KEEP: &str = "keep = 40\n";

impl Reached {
    /// With a forced command, or one that the config names.
    fn new(seed: u64, is_forced: bool) -> Self {
        let disks = Disks::without_mirror(seed);
        let directory = disks.machine.path("sshd");
        // It notes its process id, and becomes the server.
        let noting = format!("echo $$ > '{}'", disks.machine.path("server-pid").display());
        let program = env!("CARGO_BIN_EXE_coldchain");
        let second = disks.second.root();
        let serve = format!(
            "mirror-server --keep 40 --timezone UTC --link current '{}'",
            second.display()
        );
        let forced = format!("{noting}; exec {program} {serve}");
        let sshd = Sshd::start(&directory, is_forced.then_some(&*forced));
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
        reached.config(if is_forced {
            ""
        } else {
            "command = [\"$P\"]\n"
        });
        reached
    }

    /// Writes the host's key, or another, to the known hosts.
    fn know(&self, key: &str) {
        let line = format!("[127.0.0.1]:{} {key}", self.sshd.port);
        fs::write(self.disks.machine.path("known_hosts"), line).unwrap();
    }

    fn url(&self) -> String {
        let second = self.disks.second.root();
        format!(
            "ssh://root@127.0.0.1:{}{}",
            self.sshd.port,
            second.display()
        )
    }

    fn config(&self, more: &str) {
        self.config_to(&self.url(), more);
    }

    fn config_to(&self, url: &str, more: &str) {
        let user = self.directory.join("user");
        let mirror = format!(
            "\n[[mirror]]\nsource = \"home\"\nto = \"{url}\"\nidentity_file = \"{}\"\n{KEEP}{}",
            user.display(),
            more.replace("$P", env!("CARGO_BIN_EXE_coldchain"))
        );
        self.disks.config(&format!("{SNAPSHOTS_ALONE}{mirror}"));
    }

    fn command(&self, words: &str) -> Command {
        let bin = self.disks.machine.path("bin");
        let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap());
        let mut command = self.disks.machine.command(words);
        command.env("PATH", path);
        command
    }

    fn run(&self, words: &str) -> Run {
        let output = self.command(words).output().unwrap();
        Run {
            code: output.status.code(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// The night of a date, and what it sent.
    #[track_caller]
    fn night(&mut self, date: &str) {
        let run = self.run(&format!("backup home {date}"));
        assert_eq!(run.code, Some(0), "{}{}", run.stdout, run.stderr);
        self.disks.mutate();
    }

    #[track_caller]
    fn fails(&self, code: i32, said: &[&str]) {
        let run = self.run("mirror home");
        for said in said {
            assert!(run.stderr.contains(said), "{said}: {}", run.stderr);
        }
        assert_eq!(run.code, Some(code), "{}", run.stderr);
    }

    fn compare(&self) -> usize {
        compare_copies(
            &self.disks.machine.btrfs().path("snapshots"),
            &self.disks.second.path("home"),
        )
    }
}

#[test]
fn nights_go_over_ssh_to_a_forced_command() {
    if !real_btrfs_available() {
        return;
    }
    let mut reached = Reached::new(21, true);
    for day in 1..=4 {
        reached.night(&format!("2024-01-0{day}"));
    }
    assert_eq!(reached.compare(), 4);
    let link = fs::read_link(reached.disks.copy("current")).unwrap();
    assert_eq!(link.to_str(), Some("2024-01-04"));
    let again = reached.run("mirror home");
    assert_eq!(again.stderr, "");
    assert!(
        again
            .stdout
            .ends_with("up to date, the newest copy is 2024-01-04\n"),
        "{}",
        again.stdout
    );
    // The config asks for another rule. The owner's counts, and the client says so once.
    let config = reached.disks.machine.path("config.toml");
    let text = fs::read_to_string(&config).unwrap();
    let (before, mirror) = text.split_once("[[mirror]]").unwrap();
    let text = format!(
        "{before}[[mirror]]{}",
        mirror.replace("keep = 40", "keep = 2")
    );
    fs::write(&config, text).unwrap();
    let other = reached.run("mirror home");
    assert_eq!(other.code, Some(0), "{}", other.stderr);
    assert!(
        other.stderr.contains("by its own rule, keep = \"40\""),
        "{}",
        other.stderr
    );
    assert_eq!(names(&reached.disks.second.path("home")).len(), 4);
}

#[test]
fn a_command_of_the_config_starts_the_server_and_gets_its_rules() {
    if !real_btrfs_available() {
        return;
    }
    let mut reached = Reached::new(22, false);
    // A path that each shell would take apart.
    let odd = reached.disks.second.path("it's a $(mirror) \"; x");
    fs::create_dir(&odd).unwrap();
    let path = odd.display().to_string().replace('"', "\\\"");
    let url = format!("ssh://root@127.0.0.1:{}{path}", reached.sshd.port);
    reached.config_to(&url, "command = [\"$P\"]\nlinks = [\"newest one\"]\n");
    for day in 1..=2 {
        reached.night(&format!("2024-01-0{day}"));
    }
    let copies = odd.join("home");
    assert_eq!(names(&copies).len(), 2);
    let link = fs::read_link(copies.join("newest one")).unwrap();
    assert_eq!(link.to_str(), Some("2024-01-02"));
}

#[test]
fn what_keeps_ssh_from_reaching_a_mirror_is_named() {
    if !real_btrfs_available() {
        return;
    }
    let mut reached = Reached::new(23, false);
    let taken = reached.run("snapshot");
    assert_eq!(taken.code, Some(0), "{}", taken.stderr);
    let command = "command = [\"$P\"]\n";

    fs::write(reached.disks.machine.path("known_hosts"), "").unwrap();
    reached.fails(1, &["Host key verification failed", "log in once by hand"]);
    reached.know(&fs::read_to_string(reached.directory.join("user.pub")).unwrap());
    reached.fails(1, &["the host has another key"]);
    reached.know(&fs::read_to_string(reached.directory.join("host.pub")).unwrap());

    reached.config("command = [\"/does/not/exist/coldchain\"]\n");
    reached.fails(8, &["/does/not/exist/coldchain", "install coldchain there"]);
    reached.config("command = [\"echo\", \"Hello;\"]\n");
    reached.fails(1, &["the other side said `Hello; mirror-server"]);

    let second = reached.disks.second.root().display().to_string();
    let at = |port: u16, path: &str| format!("ssh://root@127.0.0.1:{port}{path}");
    let free = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    reached.config_to(&at(free, &second), command);
    reached.fails(1, &["Connection refused", "check host and port"]);
    let port = reached.sshd.port;
    reached.config_to(&at(port, "/does/not/exist"), command);
    reached.fails(
        1,
        &["says: the mirror /does/not/exist is not there: there is no such directory"],
    );
    reached.config_to(&at(port, "/proc"), command);
    reached.fails(1, &["is not there: that is not on btrfs"]);

    reached.config(command);
    fs::write(reached.directory.join("authorized_keys"), "").unwrap();
    reached.fails(1, &["Permission denied", "authorized_keys"]);
    // Nothing of all this is at the mirror.
    assert!(!reached.disks.second.path("home").exists());
    drop(std::mem::replace(
        &mut reached.sshd,
        Sshd::start(&reached.directory, None),
    ));
    reached.know(&fs::read_to_string(reached.directory.join("host.pub")).unwrap());
    reached.config(command);
    let run = reached.run("mirror home");
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    assert_eq!(reached.compare(), 1);
}

#[test]
fn after_a_cut_or_a_kill_in_the_middle_the_next_run_ends_well() {
    if !real_btrfs_available() {
        return;
    }
    let mut reached = Reached::new(24, true);
    reached.night("2024-01-01");
    fs::write(reached.disks.live().join("large"), vec![b'x'; 8 << 20]).unwrap();
    let taken = reached.run("snapshot");
    assert_eq!(taken.code, Some(0), "{}", taken.stderr);
    let staging = reached.disks.copy(".coldchain-staging");
    for killed in ["ssh-pid", "server-pid", "the client"] {
        let mut child = reached
            .command("mirror home --limit 64KiB")
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let until = Instant::now() + Duration::from_mins(2);
        while !fs::read_dir(&staging).is_ok_and(|mut entries| entries.next().is_some()) {
            assert!(Instant::now() < until, "{killed}: no stream came");
            std::thread::yield_now();
        }
        let id = match killed {
            "the client" => child.id(),
            file => {
                let text = fs::read_to_string(reached.disks.machine.path(file)).unwrap();
                text.trim().parse().unwrap()
            }
        };
        kill_process(Pid::from_raw(id.cast_signed()).unwrap(), Signal::KILL).unwrap();
        let mut said = String::new();
        std::io::Read::read_to_string(&mut child.stderr.take().unwrap(), &mut said).unwrap();
        let code = child.wait().unwrap().code();
        if killed != "the client" {
            assert_eq!(code, Some(1), "{said}");
            assert!(said.contains("was cut after"), "{said}");
        }
        assert_eq!(names(&reached.disks.second.path("home")).len(), 1);
    }
    let run = reached.run("mirror home --json");
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    let sent = sent(&run);
    assert_eq!(sent.len(), 1);
    assert!(sent[0].ends_with(" incremental"), "{sent:?}");
    assert_eq!(reached.compare(), 2);
    assert!(!staging.exists());
}
