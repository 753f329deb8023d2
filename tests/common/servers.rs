//! Real S3 servers that the tests start: `SeaweedFS` verifies signatures and checksums, and moto
//! knows the cold storage classes. `scripts/install-test-servers` installs both.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Read, Seek};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::sigv4::{Answer, Client};

/// A server that isn't ready after this long never will be.
const PATIENCE: Duration = Duration::from_mins(1);

/// How often a server is started that ends at once, as it does when one of its ports is taken.
const ATTEMPTS: u32 = 5;

/// Keeps a server for as long as its own stdin is open. That is as long as the tests' process
/// lives, however it ends: nobody drops what is static. Then it clears up behind the server, which
/// may have left sockets named by its ports in a place of its own choice.
const WATCHER: &str = r#"
trap '' HUP INT TERM
directory=$1 ports=$2
shift 2
exec 3<&0 </dev/null
setpriv --pdeathsig KILL "$@" 3<&- &
server=$!
{ read -r _ <&3; kill -KILL $server; } &
wait $server
kill -KILL $! 2>/dev/null
rm -rf "$directory"
for port in $ports; do
    rm -f /tmp/seaweedfs-*-"$port".sock
done
"#;

/// `SeaweedFS`.
pub struct Weed;

/// moto. It takes any key and signature, and verifies no checksum.
pub struct Moto;

/// Whether a bucket has Object Lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ObjectLock {
    On,
    Off,
}

/// Whether a bucket keeps versions. One with Object Lock always does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Versioning {
    On,
    Off,
}

impl Weed {
    /// The one that the tests of a program share, started when the first asks. `None` means that
    /// the test is skipped: there is none installed, and this isn't CI.
    pub fn shared() -> Option<&'static Server> {
        static SHARED: OnceLock<Result<Server, String>> = OnceLock::new();
        shared(&SHARED, Self::launch)
    }

    /// One that a test has for itself, and may stop by dropping it.
    pub fn start() -> Option<Server> {
        let programs = installed()?;
        Some(Server::start(programs, Self::launch).unwrap_or_else(|error| panic!("{error}")))
    }

    fn launch(programs: &Path, directory: &Path) -> io::Result<Launch> {
        let ports = ports_for_weed()?;
        // With a key that no other has, nothing but this server counts as ready.
        let access_key = format!("AK{}X{}", std::process::id(), ports[0]);
        let secret_key = format!("the secret of {access_key}");
        let config = serde_json::json!({"identities": [{
            "name": "tests",
            "credentials": [{"accessKey": access_key, "secretKey": secret_key}],
            "actions": ["Admin", "Read", "Write", "List", "Tagging"],
        }]});
        fs::write(directory.join("s3.json"), config.to_string())?;

        let mut command = Command::new(programs.join("weed"));
        command.arg("mini").args([
            "-dir=.",
            "-s3.config=s3.json",
            "-ip=127.0.0.1",
            "-ip.bind=127.0.0.1",
            "-master.telemetry=false",
            "-admin.ui=false",
            "-webdav=false",
            "-s3.port.iceberg=0",
            "-s3.port.lance=0",
            // As Amazon has it.
            "-s3.autoCreateBucket=false",
            "-s3.allowDeleteBucketNotEmpty=false",
            // Every bucket takes one. Left alone it allows as many as would fit on the disk if
            // each were full, and then a few dozen buckets are too many.
            "-volume.max=2000",
        ]);
        let flags = [
            "s3.port",
            "s3.port.grpc",
            "master.port",
            "master.port.grpc",
            "volume.port",
            "volume.port.grpc",
            "filer.port",
            "filer.port.grpc",
            "admin.port",
            "admin.port.grpc",
        ];
        let flags = flags.iter().zip(&ports);
        command.args(flags.map(|(flag, port)| format!("-{flag}={port}")));
        Ok(Launch {
            command,
            ports,
            access_key,
            secret_key,
        })
    }
}

impl Moto {
    /// As [`Weed::shared`].
    pub fn shared() -> Option<&'static Server> {
        static SHARED: OnceLock<Result<Server, String>> = OnceLock::new();
        shared(&SHARED, Self::launch)
    }

    fn launch(programs: &Path, _directory: &Path) -> io::Result<Launch> {
        let port = port_of(&free_port()?);
        // Its own first line names the interpreter by a path, which a moved checkout makes wrong.
        let mut command = Command::new(programs.join("python"));
        command.arg(programs.join("moto_server"));
        command.args(["-H", "127.0.0.1", "-p", &port.to_string()]);
        Ok(Launch {
            command,
            ports: vec![port],
            access_key: "AK".to_owned(),
            secret_key: "SK".to_owned(),
        })
    }
}

/// How to start a server.
struct Launch {
    command: Command,
    /// That of S3 is the first.
    ports: Vec<u16>,
    access_key: String,
    secret_key: String,
}

type Launcher = fn(&Path, &Path) -> io::Result<Launch>;

fn shared(
    server: &'static OnceLock<Result<Server, String>>,
    launcher: Launcher,
) -> Option<&'static Server> {
    let programs = installed()?;
    let started = server.get_or_init(|| Server::start(programs, launcher));
    Some(started.as_ref().unwrap_or_else(|error| panic!("{error}")))
}

/// A server on a loopback port. It ends when it is dropped, and at the latest with the process.
pub struct Server {
    client: Client,
    endpoint: String,
    directory: PathBuf,
    buckets: AtomicU32,
    watcher: Child,
    log: File,
}

impl Server {
    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    pub fn access_key(&self) -> &str {
        &self.client.access_key
    }

    pub fn secret_key(&self) -> &str {
        &self.client.secret_key
    }

    /// Where its data is.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// The table of a store in a bucket here, with further lines.
    pub fn store_table(&self, bucket: &str, more: &str) -> String {
        format!(
            r#"
                type = "s3"
                bucket = "{bucket}"
                prefix = "some/prefix"
                endpoint = "{}"
                region = "us-east-1"
                {more}
            "#,
            self.endpoint
        )
    }

    /// What a program that uses it has to find in its environment.
    pub fn env(&self) -> [(&'static str, &str); 3] {
        [
            ("AWS_ACCESS_KEY_ID", self.access_key()),
            ("AWS_SECRET_ACCESS_KEY", self.secret_key()),
            ("AWS_EC2_METADATA_DISABLED", "true"),
        ]
    }

    /// Makes a bucket that no other test knows.
    pub fn new_bucket(&self, lock: ObjectLock, versioning: Versioning) -> String {
        let number = self.buckets.fetch_add(1, Ordering::Relaxed);
        let bucket = format!("bucket-{number}");
        let path = format!("/{bucket}");
        let locked = [("x-amz-bucket-object-lock-enabled", "true")];
        let headers: &[_] = match lock {
            ObjectLock::On => &locked,
            ObjectLock::Off => &[],
        };
        let made = self.request("PUT", &path, headers, b"");
        assert_eq!(made.status, 200, "{made:?}");
        if (lock, versioning) == (ObjectLock::Off, Versioning::On) {
            let body = "<VersioningConfiguration xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">\
                        <Status>Enabled</Status></VersioningConfiguration>";
            let path = format!("{path}?versioning");
            let set = self.request("PUT", &path, &[], body.as_bytes());
            assert_eq!(set.status, 200, "{set:?}");
        }
        bucket
    }

    /// A signed request and its answer. Path and query are percent-encoded already.
    pub fn request(
        &self,
        method: &str,
        path_and_query: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Answer {
        self.client
            .signed_request(method, path_and_query, headers, body)
            .unwrap_or_else(|error| panic!("{method} {path_and_query}: {error}"))
    }

    /// The same client, to be given other keys.
    pub fn client(&self) -> Client {
        self.client.clone()
    }

    fn start(programs: &Path, launcher: Launcher) -> Result<Self, String> {
        let mut attempt = 1;
        loop {
            let mut server =
                Self::launch(programs, launcher).map_err(|error| format!("no server: {error}"))?;
            match server.wait_until_ready() {
                Ok(()) => return Ok(server),
                Err(Failed::Ended) if attempt < ATTEMPTS => attempt += 1,
                Err(failed) => {
                    let how = match failed {
                        Failed::Ended => "ends at once",
                        Failed::NeverReady => "is never ready",
                    };
                    return Err(format!("the server {how}: {}", server.read_log()));
                }
            }
        }
    }

    fn launch(programs: &Path, launcher: Launcher) -> io::Result<Self> {
        let directory = tempfile::tempdir()?;
        let launch = launcher(programs, directory.path())?;
        let ports: Vec<_> = launch.ports.iter().map(u16::to_string).collect();
        // Without a name, it goes away with the last that has it open.
        let log = tempfile::tempfile()?;
        let watcher = Command::new("sh")
            .args(["-c", WATCHER, "watcher"])
            .arg(directory.path())
            .arg(ports.join(" "))
            .arg(launch.command.get_program())
            .args(launch.command.get_args())
            .current_dir(directory.path())
            // Both servers take settings and credentials from variables of many names.
            .env_clear()
            .envs(std::env::var_os("PATH").map(|path| ("PATH", path)))
            .envs(["HOME", "TMPDIR"].map(|name| (name, directory.path())))
            .stdin(Stdio::piped())
            .stdout(log.try_clone()?)
            .stderr(log.try_clone()?)
            .spawn()?;
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, launch.ports[0]));
        Ok(Self {
            endpoint: format!("http://{address}"),
            client: Client {
                address,
                access_key: launch.access_key,
                secret_key: launch.secret_key,
            },
            // From here on it is the watcher's.
            directory: directory.keep(),
            buckets: AtomicU32::new(1),
            watcher,
            log,
        })
    }

    fn wait_until_ready(&mut self) -> Result<(), Failed> {
        let give_up = Instant::now() + PATIENCE;
        while !self.is_ready() {
            if self.watcher.try_wait().is_ok_and(|ended| ended.is_some()) {
                return Err(Failed::Ended);
            }
            if Instant::now() > give_up {
                return Err(Failed::NeverReady);
            }
            pause();
        }
        Ok(())
    }

    /// Whether an object can be stored: a gateway answers before there is anything behind it.
    fn is_ready(&self) -> bool {
        [
            ("PUT", "/ready", [200, 409]),
            ("PUT", "/ready/object", [200, 200]),
            ("DELETE", "/ready/object", [204, 204]),
            ("DELETE", "/ready", [204, 204]),
        ]
        .iter()
        .all(|(method, path, wanted)| {
            let answer = self.client.signed_request(method, path, &[], b"");
            answer.is_ok_and(|answer| wanted.contains(&answer.status))
        })
    }

    fn read_log(&mut self) -> String {
        let mut log = Vec::new();
        let read = self
            .log
            .rewind()
            .and_then(|()| self.log.read_to_end(&mut log));
        read.map_or_else(
            |error| error.to_string(),
            |_| String::from_utf8_lossy(&log).into_owned(),
        )
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.watcher.stdin.take());
        // There is nobody to tell that it has gone wrong.
        let _ = self.watcher.wait();
    }
}

enum Failed {
    Ended,
    NeverReady,
}

/// Waits until something outside of this process is so, which nothing announces.
pub fn until(what: &str, is_so: impl Fn() -> bool) {
    let give_up = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < give_up, "never came: {what}");
        pause();
    }
}

fn pause() {
    thread::sleep(Duration::from_millis(20));
}

/// Where the programs are, if they are all installed. If not, it says so; in CI that is a failure.
fn installed() -> Option<&'static Path> {
    static FOUND: OnceLock<Option<PathBuf>> = OnceLock::new();
    let found = FOUND.get_or_init(|| {
        let default = concat!(env!("CARGO_MANIFEST_DIR"), "/target/test-servers");
        let root = std::env::var_os("COLDCHAIN_TEST_SERVERS").map_or(default.into(), PathBuf::from);
        let list = match fs::read_to_string(root.join("installed.txt")) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return None,
            list => list.expect("the list of what is installed can be read"),
        };
        // What is installed from another list may be incomplete, or another version.
        let is_current = list == include_str!("../../scripts/test-servers.txt");
        is_current.then(|| root.join("bin"))
    });
    let in_ci = std::env::var_os("CI").is_some_and(|ci| ci == "true");
    if found.is_none() {
        assert!(
            !in_ci,
            "CI=true, but there are no S3 servers to test against: run scripts/install-test-servers"
        );
        eprintln!(
            "skipped: there are no S3 servers to test against: run scripts/install-test-servers"
        );
    }
    found.as_deref()
}

fn free_port() -> io::Result<TcpListener> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
}

fn port_of(listener: &TcpListener) -> u16 {
    listener.local_addr().unwrap().port()
}

/// Ten. The last two are 10000 apart: whatever is told, a part of it looks for the other there.
fn ports_for_weed() -> io::Result<Vec<u16>> {
    let mut held = Vec::new();
    while held.len() < 8 {
        held.push(free_port()?);
    }
    for _ in 0..100 {
        let lower = free_port()?;
        let Some(port) = port_of(&lower).checked_add(10_000) else {
            continue;
        };
        if let Ok(upper) = TcpListener::bind((Ipv4Addr::LOCALHOST, port)) {
            held.extend([lower, upper]);
            return Ok(held.iter().map(port_of).collect());
        }
    }
    Err(ErrorKind::AddrInUse.into())
}
