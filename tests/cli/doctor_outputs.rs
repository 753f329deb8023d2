//! What `doctor` finds of the files that runs write for others: their directories, each made unfit; and of the program for
//! mails.

use std::fs;
use std::os::unix::fs::chown;
use std::process::Command;

use crate::common::loopfs::{LoopFs, real_btrfs_available, run};
use crate::common::machine::{Machine, fed_config};
use crate::common::tmpfs::Tmpfs;
use crate::doctor_here::{Orderly, found, set_mode};

const OUTPUTS: &str = "metrics = \"$FS/out/coldchain.prom\"\nlog = \"$FS/out/log\"\n";

/// A user who is not root.
const OTHER: u32 = 65534;

#[test]
fn the_directories_of_metrics_and_log_are_judged() {
    if !real_btrfs_available() {
        return;
    }
    let disk = LoopFs::new(128);
    let (root, out) = (disk.root(), disk.path("out"));
    // Exporters may pass here.
    set_mode(root.parent().unwrap(), 0o711);
    let config = format!("{OUTPUTS}{}", fed_config());
    let orderly = Orderly::of(Machine::fed(Some(disk)), &config);
    for subject in ["metrics", "log"] {
        let text = "/out does not exist, so no run can write there; run `mkdir -p ";
        orderly.warns("config", subject, text);
    }
    fs::write(&out, "").unwrap();
    orderly.warns("config", "metrics", "/out is no directory; name another");
    fs::remove_file(&out).unwrap();
    fs::create_dir(&out).unwrap();
    let fine = "which only you and root can replace";
    orderly.finds("config", "metrics", "ok", fine, 0);
    orderly.finds("config", "log", "ok", fine, 0);

    set_mode(&out, 0o777);
    for subject in ["metrics", "log"] {
        orderly.warns("config", subject, "others can write to it (mode 0777)");
    }
    set_mode(&out, 0o755);
    chown(&out, Some(OTHER), None).unwrap();
    orderly.warns("config", "log", "belongs to the user with uid 65534");
    // The package of an exporter gives its directory to its user.
    let text = "coldchain.prom, which the user with uid 65534 can replace";
    orderly.finds("config", "metrics", "ok", text, 0);
    chown(&out, Some(0), None).unwrap();
    set_mode(&out, 0o750);
    let text = "/out, and exporters run as another user; run `chmod o+rx ";
    orderly.warns("config", "metrics", text);
    orderly.finds("config", "log", "ok", fine, 0);
    // A group of its own is enough for them.
    chown(&out, None, Some(OTHER)).unwrap();
    orderly.finds("config", "metrics", "ok", fine, 0);
    set_mode(&out, 0o755);

    fs::create_dir(out.join("coldchain.prom")).unwrap();
    orderly.warns("config", "metrics", "coldchain.prom is no regular file");
    fs::remove_dir(out.join("coldchain.prom")).unwrap();
    std::os::unix::fs::symlink("/etc/passwd", out.join("log")).unwrap();
    orderly.warns("config", "log", "/out/log is no regular file; move it away");
    fs::remove_file(out.join("log")).unwrap();
    let mount = |how: &str| {
        let mut mount = Command::new("mount");
        run(mount.args(["-o", how]).arg(&root)).unwrap();
    };
    mount("remount,ro");
    for subject in ["metrics", "log"] {
        orderly.warns("config", subject, "Read-only file system");
    }
    mount("remount,rw");
    let other = config.replace("coldchain.prom", "metrics.txt");
    orderly.machine.write_config(&other);
    let text = "node_exporter reads only files whose names end in .prom";
    orderly.finds("config", "metrics", "?", text, 0);
}

#[test]
fn metrics_in_memory_are_warned_of_since_a_restart_takes_them_away() {
    let config = format!("metrics = \"$T/out/coldchain.prom\"\n{}", fed_config());
    let orderly = Orderly::of(Machine::fed(None), &config);
    let _memory = Tmpfs::on(&orderly.machine.path("out"), 1024);
    let text = "lies in memory: from a restart of the machine to the next run there are no metrics";
    orderly.warns("config", "metrics", text);
}

#[test]
fn a_program_for_mails_that_cannot_be_run_is_warned_of() {
    let notify = "\n[notify]\nmail = \"root\"\nsendmail = \"$T/sendmail\"\n";
    let orderly = Orderly::of(Machine::fed(None), &(fed_config() + notify));
    let program = orderly.machine.path("sendmail");
    fs::write(&program, "#!/bin/sh\ncat >/dev/null\n").unwrap();
    set_mode(&program, 0o644);
    let text = "/sendmail is no program that can be run, so no mail can be sent; run `chmod +x ";
    orderly.warns("this machine", "sendmail", text);
    set_mode(&program, 0o755);
    orderly.finds("this machine", "sendmail", "ok", "/sendmail", 0);
}

#[test]
fn an_old_kernel_is_refused_where_it_has_to_make_snapshots() {
    let orderly = Orderly::of(Machine::fed(None), &fed_config());
    // Since Linux 3.0 a program may ask to be told that it runs on a 2.6.
    let old = || orderly.run_in("exec setarch --uname-2.6 \"$0\" \"$@\"");
    let text = "is too old: 5.14 or newer is needed; install a newer kernel";
    found(&old(), "this machine", "kernel", ("warn", text), 0);
    found(&old(), "this machine", "kernel", ("warn", "Linux 2.6."), 0);
    let live =
        "name = \"home\"\nsubvolume = \"/nowhere/home\"\nsnapshots = \"/nowhere/snapshots\"\n";
    let config = fed_config().replace("name = \"home\"\n", live);
    orderly.machine.write_config(&config);
    found(&old(), "this machine", "kernel", ("FAIL", text), 1);
}
