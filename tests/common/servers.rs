//! Real S3 servers that the tests start: `SeaweedFS` verifies signatures and checksums, and moto
//! knows the cold storage classes. `scripts/install-test-servers` installs both.

use std::fs::{self, File};
use std::io::{self, Read, Seek};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::sigv4::{Answer, Client};

pub use super::sigv4::REGION;

/// A server that isn't ready after this long never will be.
const PATIENCE: Duration = Duration::from_mins(1);

/// How often a server is started that finds one of its ports taken.
const ATTEMPTS: u32 = 5;

/// Keeps a server as long as its own stdin is open, which is as long as the tests' process lives,
/// however that ends: nobody drops what is static. Then it clears up behind the server, which
/// leaves sockets named by their ports in a place of its own choice.
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

/// A server on a loopback port. It ends when it is dropped, or with the process.
pub struct Server {
    client: Client,
    endpoint: String,
    directory: PathBuf,
    buckets: AtomicU32,
    watcher: Child,
    log: File,
}

impl Weed {
    /// The one that the tests of a program share, started at its first use. `None` is a skipped
    /// test: it isn't installed, and this isn't CI.
    pub fn shared() -> Option<&'static Server> {
        static SHARED: OnceLock<Result<Server, String>> = OnceLock::new();
        let programs = installed()?;
        Some(shared(&SHARED, || Self::start_from(programs)))
    }

    /// One of the test's own, to be stopped by dropping it.
    pub fn start() -> Option<Server> {
        let programs = installed()?;
        Some(Self::start_from(programs).unwrap_or_else(|error| panic!("{error}")))
    }

    fn start_from(programs: &Path) -> Result<Server, String> {
        started("weed", |directory| {
            let [admin, admin_grpc] = two_ports_10000_apart()?;
            let others = free_ports::<8>()?;
            let ports: Vec<u16> = others.map(port_of).into();
            // A key of its own makes sure that it is this server that answers.
            let key = format!("AK{}x{}", std::process::id(), ports[0]);
            let secret = format!("secret of {key}");
            let identity = serde_json::json!({
                "name": "tests",
                "credentials": [{"accessKey": key, "secretKey": secret}],
                "actions": ["Admin", "Read", "Write", "List", "Tagging"],
            });
            let config = serde_json::json!({"identities": [identity]});
            fs::write(directory.join("s3.json"), config.to_string())?;

            let mut command = vec![path_text(&programs.join("weed")), "mini".to_owned()];
            command.extend(
                [
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
                    // Each bucket takes some; left alone, it allows as many as fit on the disk.
                    "-volume.max=2000",
                ]
                .map(str::to_owned),
            );
            let flags = [
                "s3.port",
                "s3.port.grpc",
                "master.port",
                "master.port.grpc",
                "volume.port",
                "volume.port.grpc",
                "filer.port",
                "filer.port.grpc",
            ];
            let ports: Vec<u16> = ports.into_iter().chain([admin, admin_grpc]).collect();
            let flags = flags.into_iter().chain(["admin.port", "admin.port.grpc"]);
            command.extend(
                flags
                    .zip(&ports)
                    .map(|(flag, port)| format!("-{flag}={port}")),
            );
            Ok((command, ports, key, secret))
        })
    }
}

impl Moto {
    /// As [`Weed::shared`].
    pub fn shared() -> Option<&'static Server> {
        static SHARED: OnceLock<Result<Server, String>> = OnceLock::new();
        let programs = installed()?;
        Some(shared(&SHARED, || Self::start_from(programs)))
    }

    fn start_from(programs: &Path) -> Result<Server, String> {
        started("moto_server", |_| {
            let [port] = free_ports::<1>()?.map(port_of);
            // Not as a program: the path in its first line may be that of another checkout.
            let command = vec![
                path_text(&programs.join("python")),
                path_text(&programs.join("moto_server")),
                "-H127.0.0.1".to_owned(),
                format!("-p{port}"),
            ];
            Ok((command, vec![port], "AK".to_owned(), "SK".to_owned()))
        })
    }
}
