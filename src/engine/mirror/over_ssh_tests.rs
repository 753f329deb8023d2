//! A client whose ssh is a shell that prints what a server could.

use std::ffi::OsString;
use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use super::*;
use crate::config::Config;
use crate::engine::mirror::wire::{RemoteFailure, greeting, put_frame, put_message};
use crate::error::ExitCode;
use crate::progress::Quiet;

const MIRROR: &str = r#"
timezone = "Europe/Berlin"

[[source]]
name = "home"
subvolume = "/mnt/home"
snapshots = "/mnt/snapshots"

[[mirror]]
source = "home"
to = "ssh://ann@[::1]:2222/mnt/it's second"
keep = "14d 8w"
links = ["current", "newest one"]
identity_file = "/root/key"
command = ["sudo", "-n", "coldchain"]
"#;

fn config() -> Config {
    Config::parse(MIRROR, Path::new("config.toml")).unwrap()
}

/// A server's bytes: it takes the source, and then sends frames.
fn opened(more: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut bytes = greeting("1.2.3").into_bytes();
    put_message(&mut bytes, &MirrorAnswer::Opened);
    more(&mut bytes);
    bytes
}

/// Returns bytes as the shell's `printf` takes them.
fn in_octal(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "\\{byte:03o}").unwrap();
        text
    })
}

/// Opens a mirror whose server prints these bytes, and then does what the script says.
fn open(bytes: &[u8], stall: Duration, then: &str) -> Result<OverSsh<'static>, Error> {
    let printed = in_octal(bytes);
    let mut command = Command::new("bash");
    command.args(["-c", &format!("printf '{printed}'; {then}")]);
    let mirror = MirrorConfig {
        stall,
        ..config().mirrors[0].clone()
    };
    OverSsh::open_by(command, &mirror, RunContext::real(&Quiet))
}

const LONG: Duration = Duration::from_mins(3);

/// Reads what the client says, to its end.
const LISTEN: &str = "cat > /dev/null";

fn any_copy() -> CopyToSend {
    CopyToSend {
        uuid: Uuid([1; 16]),
        parent: None,
        protocol: crate::model::Protocol::V1,
    }
}

fn failed() -> MirrorAnswer {
    MirrorAnswer::Failed(RemoteFailure {
        message: "it is full".to_owned(),
        hint: None,
        code: 1,
    })
}

#[test]
fn the_command_says_all_that_the_config_does() {
    let config = config();
    let mirror = &config.mirrors[0];
    let MirrorLocation::Ssh(location) = &mirror.to else {
        panic!("it is an ssh location");
    };
    let command = ssh(mirror, location, config.timezone, Some(7));
    let words: Vec<OsString> = command.get_args().map(ToOwned::to_owned).collect();
    let words: Vec<_> = words.iter().map(|word| word.to_str().unwrap()).collect();
    assert_eq!(
        words.join(" "),
        "-T -a -x -o BatchMode=yes -o StrictHostKeyChecking=yes -o ClearAllForwardings=yes -o ServerAliveInterval=15 \
         -o ServerAliveCountMax=8 -p 2222 -l ann -i /root/key -o IdentitiesOnly=yes -- ::1 'sudo' '-n' 'coldchain' \
         'mirror-server' '--allow=list,receive,send' '--keep=14d 8w' '--timezone=Europe/Berlin' '--link=current' \
         '--link=newest one' '--yes-delete=7' '/mnt/it'\\''s second'"
    );
}

#[test]
fn a_stream_of_a_mirror_is_read_to_its_end_and_the_session_goes_on() {
    let blocks = [vec![7; MAX_FRAME], vec![8; 100]];
    let bytes = opened(|bytes| {
        for block in &blocks {
            put_frame(bytes, FrameKind::Data, block);
            put_frame(bytes, FrameKind::KeepAlive, &[]);
        }
        put_message(bytes, &MirrorAnswer::Sent);
        put_message(bytes, &MirrorAnswer::Made(LedgerId([9; 16])));
    });
    // Too long for an argument.
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), bytes).unwrap();
    let then = format!("cat {}; {LISTEN}", file.path().display());
    let mut mirror = open(&[], LONG, &then).unwrap();
    let mut stream = mirror.send(&any_copy()).unwrap();
    let mut read = Vec::new();
    stream.read_to_end(&mut read).unwrap();
    assert!(read == blocks.concat());
    stream.finish().unwrap();
    assert_eq!(mirror.make().unwrap(), LedgerId([9; 16]));
}

#[test]
fn a_stream_that_fails_there_is_an_error_and_the_session_goes_on() {
    let bytes = opened(|bytes| {
        put_frame(bytes, FrameKind::Data, b"begun");
        put_message(bytes, &failed());
        put_message(bytes, &MirrorAnswer::Made(LedgerId([9; 16])));
    });
    let mut mirror = open(&bytes, LONG, LISTEN).unwrap();
    let mut stream = mirror.send(&any_copy()).unwrap();
    let error = stream.read_to_end(&mut Vec::new()).unwrap_err();
    assert!(error.to_string().ends_with("says: it is full"), "{error}");
    assert!(stream.finish().is_err());
    assert_eq!(mirror.make().unwrap(), LedgerId([9; 16]));
}

#[test]
fn a_stream_that_is_cut_or_left_ends_the_session() {
    let begun = opened(|bytes| put_frame(bytes, FrameKind::Data, b"begun"));
    let over = |mut mirror: OverSsh<'_>| {
        let error = mirror.make().unwrap_err();
        let is_over = matches!(error, Error::MirrorLink(MirrorLinkError::Over { .. }));
        assert!(is_over, "{error}");
    };
    // The server ends.
    let mut mirror = open(&begun, LONG, "echo why >&2; head -c 1 > /dev/null").unwrap();
    let mut stream = mirror.send(&any_copy()).unwrap();
    let error = stream.read_to_end(&mut Vec::new()).unwrap_err();
    assert!(error.to_string().contains("was cut after"), "{error}");
    assert!(error.to_string().ends_with(": why"), "{error}");
    drop(stream);
    over(mirror);
    // The reader leaves.
    let mut mirror = open(&begun, LONG, LISTEN).unwrap();
    let mut stream = mirror.send(&any_copy()).unwrap();
    stream.read_exact(&mut [0; 3]).unwrap();
    assert!(stream.finish().is_err());
    over(mirror);
}

#[test]
fn a_refusal_is_heard_while_a_stream_without_end_is_sent() {
    let bytes = opened(|bytes| {
        put_message(bytes, &failed());
        put_message(bytes, &MirrorAnswer::Made(LedgerId([9; 16])));
    });
    let mut mirror = open(&bytes, LONG, LISTEN).unwrap();
    let wanted = WantedCopy {
        name: "2024-01-01".parse().unwrap(),
        stream_uuid: Uuid([1; 16]),
        ctransid: 1,
        parent: None,
    };
    let mut endless = std::iter::repeat_with(|| Ok(vec![0; 1 << 20]));
    let error = mirror.receive(&wanted, &mut endless).unwrap_err();
    assert!(error.to_string().ends_with("says: it is full"), "{error}");
    assert_eq!(mirror.make().unwrap(), LedgerId([9; 16]));
}

#[test]
fn what_fails_here_in_a_stream_is_the_error_and_the_session_goes_on() {
    let wanted = WantedCopy {
        name: "2024-01-01".parse().unwrap(),
        stream_uuid: Uuid([1; 16]),
        ctransid: 1,
        parent: None,
    };
    // The server answers what the client gives up, and not before.
    let mut heard = Vec::new();
    let source = config().mirrors[0].name.clone();
    put_message(
        &mut heard,
        &MirrorAsk::Open {
            protocol: PROTOCOL,
            source,
        },
    );
    put_message(&mut heard, &MirrorAsk::Receive(wanted.clone()));
    put_frame(&mut heard, FrameKind::Data, &[0; 10]);
    put_frame(&mut heard, FrameKind::Abort, &[]);
    let mut answers = Vec::new();
    put_message(&mut answers, &failed());
    put_message(&mut answers, &MirrorAnswer::Made(LedgerId([9; 16])));
    let then = format!(
        "head -c {} > /dev/null; printf '{}'; {LISTEN}",
        heard.len(),
        in_octal(&answers)
    );
    let mut mirror = open(&opened(|_| {}), LONG, &then).unwrap();
    let here = Error::file("read", "a stream", io::ErrorKind::TimedOut.into());
    let mut blocks = [Ok(vec![0; 10]), Err(here)].into_iter();
    let error = mirror.receive(&wanted, &mut blocks).unwrap_err();
    assert!(matches!(error, Error::File { .. }), "{error}");
    assert_eq!(mirror.make().unwrap(), LedgerId([9; 16]));
}

#[test]
fn a_server_that_only_says_that_it_is_alive_is_left_in_the_end() {
    let bytes = opened(|_| {});
    let alive = "while printf 'k\\0\\0\\0\\0'; do sleep 0.02; done 2> /dev/null";
    let mut mirror = open(&bytes, Duration::from_secs(2), alive).unwrap();
    let error = mirror.make().unwrap_err();
    let is_alive = matches!(
        error,
        Error::MirrorLink(MirrorLinkError::Stalled { is_alive: true, .. })
    );
    assert!(is_alive, "{error}");
    assert_eq!(error.exit_code(), ExitCode::Failed);
}
