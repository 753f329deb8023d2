//! Copies on S3 servers that the suite does not install, by a copier that is killed at random moments.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::common::loopfs::LoopFs;
use crate::common::rng::Rng;
use crate::common::sandbox::{Sandbox, Setup};
use crate::common::tree::{compare_trees, make_rich_tree, mutate_tree};

const DATES: [&str; 3] = ["2024-01-01", "2024-01-07", "2024-01-14"];

/// More than any copy takes.
const PATIENCE: Duration = Duration::from_mins(10);

/// `COLDCHAIN_OTHER_SERVERS` is as in `tests/store/other_servers.rs`. `scripts/soak copies` starts them.
#[test]
#[ignore = "`scripts/soak copies` starts the servers"]
fn a_copy_of_a_killed_copier_is_whole_and_stands_on_its_own_on_each() {
    let servers = std::env::var("COLDCHAIN_OTHER_SERVERS").expect("it names the servers");
    let number = |name: &str, default: u64| {
        std::env::var(name).map_or(default, |text| text.parse().expect("it is a number"))
    };
    let kills = number("COLDCHAIN_COPY_KILLS", 3);
    let mut rng = Rng::new(number("COLDCHAIN_SEED", 71));
    let mut tried = 0;
    for line in servers.lines().filter(|line| !line.trim().is_empty()) {
        let words: Vec<&str> = line.split_whitespace().collect();
        let [name, endpoint, access_key, secret_key, bucket] = words[..] else {
            panic!("a server has five words: {line}");
        };
        let place = |prefix: &str| {
            format!(
                "type = \"s3\"\nbucket = \"{bucket}\"\nprefix = \"{prefix}\"\nregion = \"us-east-1\"\n\
                 endpoint = \"{endpoint}\"\ngive_up_after = \"20s\"\n"
            )
        };
        let env = [
            ("AWS_ACCESS_KEY_ID", access_key),
            ("AWS_SECRET_ACCESS_KEY", secret_key),
            ("AWS_EC2_METADATA_DISABLED", "true"),
        ];
        for home in ["bucket", "directory"] {
            println!("== {name}, from a {home}");
            let directory = tempfile::tempdir().unwrap();
            let mut tables = match home {
                "bucket" => place("home"),
                _ => format!(
                    "type = \"dir\"\npath = \"{}\"\n",
                    directory.path().display()
                ),
            };
            for at in 0..=kills {
                let table = place(&format!("{home}/copy-{at}"));
                write!(tables, "[store.copy{at}]\n{table}").unwrap();
            }
            copy_and_kill(&tables, &env, kills, &mut rng);
        }
        tried += 1;
    }
    assert!(tried >= 2, "{tried} servers are named");
}

/// Copies once without a kill, which tells how long that takes, and then as often as kills are asked for.
fn copy_and_kill(tables: &str, env: &[(&str, &str)], kills: u64, rng: &mut Rng) {
    let sandbox = Sandbox::with(&Setup {
        mib: 512,
        store: Some(tables),
        env,
        ..Setup::default()
    });
    let machine = |config: &Path, args: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_coldchain"));
        command
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap())
            .envs(env.iter().copied())
            .env("COLDCHAIN_CONFIG", config)
            .args(args)
            .stdin(Stdio::null());
        command
    };
    make_rich_tree(&sandbox.source(), rng);
    for date in DATES {
        // Three segments, so that a kill falls between some.
        let large = rng.bytes(40 << 20);
        fs::write(sandbox.source().join("large"), large).unwrap();
        sandbox.backup(date);
        mutate_tree(&sandbox.source(), rng);
    }
    let mut whole = Duration::ZERO;
    for at in 0..=kills {
        let words = ["copy", "home", "--to", &format!("copy{at}")];
        let begun = Instant::now();
        if at > 0 {
            let mut child = machine(&sandbox.config(), &words)
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
                .unwrap();
            let micros = u64::try_from(whole.as_micros()).unwrap();
            thread::sleep(Duration::from_micros(rng.below(micros.max(1))));
            child.kill().unwrap();
            child.wait().unwrap();
        }
        succeeded(machine(&sandbox.config(), &words).output().unwrap());
        assert!(begun.elapsed() < PATIENCE);
        if at == 0 {
            whole = begun.elapsed();
            println!("a copy takes {whole:.1?}");
        }
        let again = succeeded(machine(&sandbox.config(), &words).output().unwrap());
        assert!(again.contains("it has all 3 archives"), "{again}");
        // Another machine, which has the kit and the address of the copy.
        let directory = tempfile::tempdir().unwrap();
        let config = on_the_copy(&sandbox, at, directory.path());
        let kit = sandbox.kit();
        let kit = kit.to_str().unwrap();
        for words in [
            &["catalog", "rebuild", "--identity", kit][..],
            &["verify", "--deep", "--identity", kit],
        ] {
            succeeded(machine(&config, words).output().unwrap());
        }
        if at == 0 || at == kills {
            let target = LoopFs::new(512);
            let to = target.root();
            let to = to.to_str().unwrap();
            let words = [
                "restore",
                "home",
                "--from",
                "store",
                "--date",
                DATES[2],
                "--yes",
                "--to",
                to,
                "--identity",
                kit,
            ];
            succeeded(machine(&config, &words).output().unwrap());
            for date in DATES {
                compare_trees(&sandbox.snapshot(date), &target.path("home").join(date));
            }
        }
    }
    sandbox.run(["verify"]).ok();
}

/// Writes a config whose source has the copy as its store, with a state directory of its own.
fn on_the_copy(sandbox: &Sandbox, at: u64, directory: &Path) -> PathBuf {
    let config = fs::read_to_string(sandbox.config()).unwrap();
    let config = config.replace("store = \"shelf\"", &format!("store = \"copy{at}\""));
    let state = config
        .lines()
        .find(|line| line.trim_start().starts_with("state_dir"))
        .expect("it has a state directory");
    let other = format!("state_dir = \"{}\"", directory.join("state").display());
    let config = config.replace(state, &other);
    let path = directory.join("config.toml");
    fs::write(&path, config).unwrap();
    path
}

fn succeeded(output: Output) -> String {
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}: {said}", output.status);
    String::from_utf8(output.stdout).unwrap()
}
