//! `credential_process` of a profile: a program that prints credentials.
//!
//! The SDK would wait for it without end, and leave it running when a request is given up. So it runs here,
//! in its own process group, which is killed as a whole. Its output is described in
//! <https://docs.aws.amazon.com/sdkref/latest/guide/feature-process-credentials.html>.

use std::fmt;
use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use aws_credential_types::Credentials;
use aws_credential_types::provider::error::CredentialsError;
use aws_credential_types::provider::{self, ProvideCredentials, future};
use chrono::DateTime;
use rustix::process::{Pid, Signal, kill_process_group};
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::process::{Child, Command};
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// How long it may run. It may have to ask a distant server, or a person.
pub(super) const LIMIT: Duration = Duration::from_mins(1);

/// How long to wait for the end of its output after its own end: a background process may keep the output
/// open.
const AFTER_ITS_END: Duration = Duration::from_secs(1);

/// The most bytes of its output that are kept. Credentials have a few hundred.
const MAX_OUTPUT: usize = 64 << 10;

/// The most characters of its stderr that an error message quotes.
const MAX_TOLD: usize = 500;

/// The program of a profile.
pub(super) struct CredentialProcess {
    /// The profile that names it.
    pub(super) profile: String,
    /// A command line for the shell, which may contain secrets.
    pub(super) command: String,
    pub(super) limit: Duration,
}

/// The program gave no credentials.
#[derive(Debug, thiserror::Error)]
#[error("`credential_process` of the profile `{profile}` ({program} …) {what}")]
pub(super) struct ProcessFailed {
    profile: String,
    /// The first word of the command.
    program: String,
    what: String,
}

impl fmt::Debug for CredentialProcess {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CredentialProcess")
            .field("profile", &self.profile)
            .finish_non_exhaustive()
    }
}

impl ProvideCredentials for CredentialProcess {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        future::ProvideCredentials::new(self.run())
    }
}

impl CredentialProcess {
    async fn run(&self) -> provider::Result {
        self.output()
            .await
            .and_then(|output| parse(&output))
            .map_err(|what| {
                CredentialsError::provider_error(ProcessFailed {
                    profile: self.profile.clone(),
                    program: self.command.split(' ').next().unwrap_or("").to_owned(),
                    what,
                })
            })
    }

    /// Runs the program to its end, and returns its output.
    async fn output(&self) -> Result<Vec<u8>, String> {
        let mut child = Command::new("sh")
            .arg("-c")
            .arg(&self.command)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .spawn()
            .map_err(|error| format!("could not be started: {error}"))?;
        let printed = Collected::of(child.stdout.take());
        let complained = Collected::of(child.stderr.take());
        let mut group = Group::of(&child);
        let ended = timeout(self.limit, child.wait()).await;
        let Ok(ended) = ended else {
            drop(group);
            // Without this wait it stays a zombie.
            let _ = child.wait().await;
            return Err(format!(
                "did not end within {} s, and was killed",
                self.limit.as_secs_f32()
            ));
        };
        group.is_over();
        let status = ended.map_err(|error| format!("could not be waited for: {error}"))?;
        let output = printed.whole().await;
        if status.success() {
            return Ok(output);
        }
        let complaint = complained.whole().await;
        let complaint = String::from_utf8_lossy(&complaint);
        let complaint: String = complaint.trim().chars().take(MAX_TOLD).collect();
        let said = if complaint.is_empty() {
            "nothing".to_owned()
        } else {
            complaint
        };
        Err(format!("failed with {status} and said: {said}"))
    }
}

/// A process group. Dropping this kills it, unless its leader has ended by itself.
struct Group(Option<Pid>);

impl Group {
    fn of(leader: &Child) -> Self {
        let id = leader.id().and_then(|id| i32::try_from(id).ok());
        Self(id.and_then(Pid::from_raw))
    }

    /// Notes that its leader has ended and was waited for: its number may now belong to another process.
    fn is_over(&mut self) {
        self.0 = None;
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(leader) = self.0 {
            // The group may have ended.
            let _ = kill_process_group(leader, Signal::KILL);
        }
    }
}

/// Collects the output of a pipe.
struct Collected {
    bytes: Arc<Mutex<Vec<u8>>>,
    reading: Option<JoinHandle<()>>,
}

impl Collected {
    fn of(pipe: Option<impl AsyncRead + Send + Unpin + 'static>) -> Self {
        let bytes = Arc::new(Mutex::default());
        let reading = pipe.map(|pipe| tokio::spawn(collect(pipe, Arc::clone(&bytes))));
        Self { bytes, reading }
    }

    /// Returns all of the output after its writer has ended.
    async fn whole(mut self) -> Vec<u8> {
        if let Some(reading) = self.reading.as_mut() {
            let _ = timeout(AFTER_ITS_END, reading).await;
        }
        std::mem::take(&mut self.bytes.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Drop for Collected {
    fn drop(&mut self) {
        if let Some(reading) = &self.reading {
            reading.abort();
        }
    }
}

/// Reads to the end, so that the writer never waits, and keeps the first bytes.
async fn collect(mut pipe: impl AsyncRead + Unpin, bytes: Arc<Mutex<Vec<u8>>>) {
    let mut buffer = vec![0; 4 << 10];
    while let Ok(length @ 1..) = pipe.read(&mut buffer).await {
        let mut bytes = bytes.lock().unwrap_or_else(PoisonError::into_inner);
        let room = MAX_OUTPUT - bytes.len();
        bytes.extend(&buffer[..length.min(room)]);
    }
}

/// Parses the credentials in the output. Errors quote no part of it.
fn parse(output: &[u8]) -> Result<Credentials, String> {
    let value: Value = serde_json::from_slice(output)
        .map_err(|_| format!("printed {} bytes that are not JSON", output.len()))?;
    let field = |name: &str| {
        let fields = value.as_object()?;
        let (_, value) = fields
            .iter()
            .find(|(key, _)| key.eq_ignore_ascii_case(name))?;
        (!value.is_null()).then_some(value)
    };
    let text = |name: &str| field(name).and_then(Value::as_str).map(str::to_owned);
    if field("Version").and_then(Value::as_i64) != Some(1) {
        return Err("printed no `\"Version\": 1`".to_owned());
    }
    let required =
        |name: &str| text(name).ok_or_else(|| format!("printed no `{name}` that is a string"));
    let expiry = match text("Expiration") {
        None => None,
        Some(time) => Some(
            DateTime::parse_from_rfc3339(&time)
                .map(|time| SystemTime::from(time.to_utc()))
                .map_err(|_| "printed an `Expiration` that is no time of RFC 3339".to_owned())?,
        ),
    };
    let mut credentials = Credentials::builder()
        .access_key_id(required("AccessKeyId")?)
        .secret_access_key(required("SecretAccessKey")?)
        .provider_name("CredentialProcess");
    credentials.set_session_token(text("SessionToken"));
    credentials.set_expiry(expiry);
    Ok(credentials.build())
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::time::Instant;

    use super::*;

    fn process(command: &str, limit: Duration) -> CredentialProcess {
        CredentialProcess {
            profile: "cold".to_owned(),
            command: command.to_owned(),
            limit,
        }
    }

    /// Returns the access key that the process prints, or the error message.
    fn given(process: &CredentialProcess) -> Result<String, String> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let given = runtime.block_on(process.provide_credentials());
        given
            .map(|credentials| credentials.access_key_id().to_owned())
            .map_err(|error| match crate::store::aws::answer::find(&error) {
                Some(failed @ ProcessFailed { .. }) => failed.to_string(),
                None => panic!("{error:?}"),
            })
    }

    const LONG: Duration = Duration::from_mins(1);

    const GOOD: &str =
        r#"echo '{"Version": 1, "AccessKeyId": "AK", "secretaccesskey": "S", "Expiration": null}'"#;

    #[test]
    fn what_hangs_is_ended_with_all_that_it_started() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("pids");
        // The shell, a child, and a child of that child for which no process waits.
        let command = format!(
            "echo $$ >{0}; sh -c 'sleep 1000 & echo $! >>{0}; echo $$ >>{0}; sleep 1000'; true",
            file.display()
        );
        let began = Instant::now();
        let said = given(&process(&command, Duration::from_secs(1))).unwrap_err();
        assert_eq!(
            said,
            "`credential_process` of the profile `cold` (echo …) did not end within 1 s, and was killed"
        );
        assert!(began.elapsed() < Duration::from_secs(20));
        let pids = std::fs::read_to_string(&file).unwrap();
        assert_eq!(pids.lines().count(), 3);
        let lives = |pid: &str| {
            let stat = std::fs::read_to_string(Path::new("/proc").join(pid).join("stat"));
            stat.is_ok_and(|stat| !stat.contains(") Z "))
        };
        let until = Instant::now() + Duration::from_secs(10);
        while pids.lines().any(lives) {
            assert!(Instant::now() < until, "{pids} live on");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    #[test]
    fn what_it_leaves_in_the_background_is_not_waited_for() {
        let began = Instant::now();
        let command = format!("{GOOD}; sleep 30 &");
        assert_eq!(given(&process(&command, LONG)).unwrap(), "AK");
        assert!(began.elapsed() < Duration::from_secs(20));
    }

    #[test]
    fn why_it_gave_none_is_told_and_nothing_that_it_printed() {
        let of = |command: &str| {
            let said = given(&process(command, LONG)).unwrap_err();
            assert!(!said.contains("SECRET"), "{said}");
            let (before, what) = said.split_once(" …) ").unwrap();
            assert!(before.starts_with("`credential_process` of the profile `cold` ("));
            what.to_owned()
        };
        assert_eq!(
            of("echo the vault is sealed >&2; exit 3"),
            "failed with exit status: 3 and said: the vault is sealed"
        );
        assert_eq!(of("exit 1"), "failed with exit status: 1 and said: nothing");
        assert_eq!(of("echo SECRET"), "printed 7 bytes that are not JSON");
        assert_eq!(
            of(r#"echo '{"AccessKeyId": "SECRET"}'"#),
            "printed no `\"Version\": 1`"
        );
        assert_eq!(
            of(r#"echo '{"Version": 1, "AccessKeyId": "SECRET"}'"#),
            "printed no `SecretAccessKey` that is a string"
        );
        assert_eq!(
            of(&GOOD.replace("null", "\"SECRET\"")),
            "printed an `Expiration` that is no time of RFC 3339"
        );
        // This is more than a pipe can hold.
        assert_eq!(
            of("head -c 1000000 /dev/zero"),
            "printed 65536 bytes that are not JSON"
        );
    }
}
