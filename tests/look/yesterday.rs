//! The path that `yesterday` prints.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::process::Command;

use super::places::{Places, days_ago};
use crate::common::loopfs::run;

#[test]
fn the_newest_version_of_that_time_is_printed_and_nothing_else() {
    let places = Places::new();
    let file = places.live().join("f");
    for days in [800, 40, 10, 2] {
        fs::write(&file, format!("{days}")).unwrap();
        places.take(&days_ago(days).to_string());
    }
    fs::write(&file, "today").unwrap();
    places.take(&days_ago(0).to_string());
    for (options, days) in [
        ("", 2),
        ("--days 1", 2),
        ("--days 2", 2),
        ("--days 3", 10),
        ("--hours 72", 10),
        ("--months 1", 40),
        ("--days 3 --months 1", 40),
        ("--years 1", 800),
        ("--hours 0", 0),
        ("--days 0", 0),
    ] {
        let run = places.run(&format!("-q yesterday home:f {options}"));
        assert_eq!(
            run.stdout,
            format!("$FS/snapshots/{}/f\n", days_ago(days)),
            "{options}"
        );
        assert_eq!(run.code, Some(0));
    }
    let run = places.run("yesterday home:f --years 3");
    assert_eq!((run.code, run.stdout.as_str()), (Some(1), ""));
    assert!(
        run.stderr
            .contains("error: there is no version of home:/f from "),
        "{}",
        run.stderr
    );
    let run = places.run("yesterday home:f --years 4294967295");
    assert_eq!((run.code, run.stdout.as_str()), (Some(2), ""));
    assert!(
        run.stderr.contains("error: cannot look back so far"),
        "{}",
        run.stderr
    );
    // A file that was deleted since counts with its last version.
    fs::remove_file(&file).unwrap();
    places.drop(&days_ago(2).to_string());
    places.take(&days_ago(2).to_string());
    let run = places.run("yesterday home:f");
    assert_eq!(run.stdout, format!("$FS/snapshots/{}/f\n", days_ago(10)));
}

#[test]
fn any_name_comes_out_as_it_is() {
    let places = Places::new();
    let names: [&[u8]; 3] = [b"plain", b"line\nbreak \x1b[2J", b"not utf-8 \xff"];
    for name in names {
        fs::write(places.live().join(OsStr::from_bytes(name)), name).unwrap();
    }
    places.take(&days_ago(3).to_string());
    for name in names {
        let file = places.live().join(OsStr::from_bytes(name));
        let words = [Path::new("-q"), Path::new("yesterday"), &file];
        let output = places.machine.command("").args(words).output().unwrap();
        let path = places
            .snapshot(&days_ago(3).to_string())
            .join(OsStr::from_bytes(name));
        assert_eq!(output.stdout, [path.as_os_str().as_bytes(), b"\n"].concat());
    }
    let script = format!(
        "cp \"$({} yesterday plain)\" back",
        env!("CARGO_BIN_EXE_coldchain")
    );
    let mut shell = Command::new("sh");
    shell.args(["-c", &script]).current_dir(places.live());
    run(shell.env("COLDCHAIN_CONFIG", places.machine.path("config.toml"))).unwrap();
    assert_eq!(fs::read(places.live().join("back")).unwrap(), b"plain");
}
