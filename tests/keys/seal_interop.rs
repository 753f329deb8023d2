//! What is sealed opens with the public tools alone: `age` and `zstd`.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use coldchain::seal::{
    ArchiveKey, Recipients, SealOptions, Sealed, SealedSegment, Sealer, generate_identity,
};

const SEGMENT_BYTES: u64 = 1 << 20;
const FRAME_BYTES: usize = 256 << 10;

/// Whether the programs are there. Without them the test says so, and fails under CI.
fn have(programs: &[&str]) -> bool {
    let missing: Vec<&&str> = programs
        .iter()
        .filter(|&&program| {
            let started = Command::new(program)
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .arg("--version")
                .status();
            started.is_err()
        })
        .collect();
    if missing.is_empty() {
        return true;
    }
    assert_ne!(
        std::env::var("CI").as_deref(),
        Ok("true"),
        "{missing:?} are not installed"
    );
    eprintln!("skipped: {missing:?} are not installed");
    false
}

fn run(directory: &Path, script: &str) -> Vec<u8> {
    let output = Command::new("bash")
        .args(["-euo", "pipefail", "-c", script])
        .current_dir(directory)
        .stdin(Stdio::null())
        .output()
        .expect("bash is there");
    assert!(
        output.status.success(),
        "{script}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    output.stdout
}

/// Text, zeros and noise, a stretch of each: 2.6 segments.
fn raw_stream() -> Vec<u8> {
    let mut raw = Vec::new();
    let mut noise = blake3::Hasher::new().finalize_xof();
    while raw.len() < 2_700_000 {
        for line in 0..2000 {
            raw.extend_from_slice(format!("line {line} at {}\n", raw.len()).as_bytes());
        }
        raw.resize(raw.len() + 100_000, 0);
        let start = raw.len();
        raw.resize(start + 150_000, 0);
        noise.fill(&mut raw[start..]);
    }
    raw
}

fn seal(key: &ArchiveKey, raw: &[u8]) -> Vec<SealedSegment> {
    let options = SealOptions {
        segment_bytes: SEGMENT_BYTES,
        frame_bytes: FRAME_BYTES,
        level: 3,
        held_bytes: 1 << 30,
        threads: 2,
    };
    let (mut sealer, receiver) = Sealer::start(options, key).unwrap();
    std::thread::scope(|scope| {
        let taker = scope.spawn(move || {
            receiver
                .iter()
                .filter_map(|step| match step {
                    Sealed::Segment(segment) => Some(segment),
                    Sealed::Finished => None,
                    Sealed::Failed(error) => panic!("{error}"),
                })
                .collect()
        });
        for frame in raw.chunks(FRAME_BYTES) {
            sealer.push(frame.to_vec()).unwrap();
        }
        sealer.finish().unwrap();
        taker.join().unwrap()
    })
}

/// Writes the archive as it lies in a store, with a key sealed to these recipients.
fn store(directory: &Path, recipients: &[String], raw: &[u8]) -> Vec<SealedSegment> {
    let key = ArchiveKey::generate();
    let recipients = Recipients::parse(recipients).unwrap();
    fs::write(directory.join("key.age"), key.seal_to(&recipients).unwrap()).unwrap();
    let segments = seal(&key, raw);
    for segment in &segments {
        let name = format!("{:06}.zst.age", segment.index);
        fs::write(directory.join(name), &segment.bytes).unwrap();
    }
    segments
}

const RESTORE: &str = "
    age -d -i kit key.age > k
    for segment in ??????.zst.age; do age -d -i k $segment | zstd -d; done
";

#[test]
fn age_and_zstd_alone_give_the_stream_back() {
    if !have(&["age", "zstd"]) {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let (secret, recipient) = generate_identity();
    fs::write(
        directory.path().join("kit"),
        format!("# recovery kit\n{secret}\n# RWQ\n"),
    )
    .unwrap();
    let raw = raw_stream();
    let segments = store(directory.path(), &[recipient], &raw);
    assert_eq!(segments.len(), 3);
    assert!(run(directory.path(), RESTORE) == raw);
}

#[test]
fn ssh_keys_open_the_archive_with_age_alone() {
    if !have(&["age", "zstd", "ssh-keygen"]) {
        return;
    }
    for kind in ["ed25519", "rsa -b 2048"] {
        let directory = tempfile::tempdir().unwrap();
        run(
            directory.path(),
            &format!("ssh-keygen -q -t {kind} -N '' -C 'a comment' -f kit"),
        );
        let public = fs::read_to_string(directory.path().join("kit.pub")).unwrap();
        let (_, spare) = generate_identity();
        let raw = &raw_stream()[..1_100_000];
        store(directory.path(), &[spare, public], raw);
        assert!(run(directory.path(), RESTORE) == raw, "{kind}");
    }
}

#[test]
fn private_facts_open_with_age_alone() {
    if !have(&["age"]) {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let key = ArchiveKey::generate();
    let sealed = key.seal_private(b"{\"host\":\"laptop\"}").unwrap();
    fs::write(directory.path().join("private.age"), sealed).unwrap();
    fs::write(directory.path().join("k"), key.to_secret_string()).unwrap();
    let opened = run(directory.path(), "age -d -i k private.age");
    assert_eq!(opened, b"{\"host\":\"laptop\"}");
}

#[test]
fn what_age_sealed_opens_here() {
    if !have(&["age", "zstd"]) {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let key = ArchiveKey::generate();
    let (secret, recipient) = generate_identity();
    let kit = directory.path().join("kit");
    fs::write(&kit, secret).unwrap();
    fs::write(
        directory.path().join("k"),
        format!("{}\n", key.to_secret_string().as_str()),
    )
    .unwrap();
    run(
        directory.path(),
        &format!(
            "age -r {recipient} -o key.age k; head -c 300000 /dev/zero | zstd | age -e -i k > segment"
        ),
    );

    let identities = coldchain::seal::Identities::from_file(&kit, &|_| None).unwrap();
    let sealed_key = fs::read(directory.path().join("key.age")).unwrap();
    let opened = ArchiveKey::unseal(&sealed_key, &identities).unwrap();
    assert_eq!(opened.to_secret_string(), key.to_secret_string());

    let sealed = fs::read(directory.path().join("segment")).unwrap();
    let mut reader = coldchain::seal::open_segment(&sealed, &opened, 300_000).unwrap();
    let mut raw = Vec::new();
    std::io::Read::read_to_end(&mut reader, &mut raw).unwrap();
    assert!(raw == vec![0; 300_000]);
}

#[test]
fn the_last_frame_is_the_seek_table_of_the_zstd_seekable_format() {
    if !have(&["age", "zstd"]) {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let (secret, recipient) = generate_identity();
    fs::write(directory.path().join("kit"), secret).unwrap();
    let raw = raw_stream();
    store(directory.path(), &[recipient], &raw);
    let plain = run(
        directory.path(),
        "age -d -i kit key.age > k; age -d -i k 000000.zst.age | tee zst",
    );

    // contrib/seekable_format/zstd_seekable_compression_format.md, in zstd's repository.
    let number = |at: usize| u32::from_le_bytes(plain[at..at + 4].try_into().unwrap());
    let footer = plain.len() - 9;
    assert_eq!(number(footer + 5), 0x8F92_EAB1);
    assert_eq!(plain[footer + 4], 0);
    let frames = number(footer);
    assert_eq!(frames, 4);
    let table = footer - 8 * frames as usize;
    assert_eq!(number(table - 8), 0x184D_2A5E);
    assert_eq!(number(table - 4), 8 * frames + 9);

    let mut at = 0;
    for (index, piece) in (0..).zip(raw[..1 << 20].chunks(FRAME_BYTES)) {
        let compressed = number(table + 8 * index) as usize;
        assert_eq!(number(table + 8 * index + 4) as usize, piece.len());
        fs::write(directory.path().join("frame"), &plain[at..at + compressed]).unwrap();
        let frame = run(directory.path(), "zstd -d < frame");
        assert!(frame == piece, "frame {index}");
        at += compressed;
    }
    assert_eq!(at, table - 8);

    // The program sees 4 frames and a skippable one, all with a checksum.
    let listed = run(directory.path(), "mv zst a.zst; zstd -lv a.zst");
    let listed = String::from_utf8_lossy(&listed).into_owned();
    assert!(listed.contains("XXH64"), "{listed}");
    assert!(listed.contains("(1048576 B)"), "{listed}");
}
