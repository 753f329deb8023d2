//! What `list`, `show`, `doctor`, `forget` and the recovery kit say of copies.

use std::fs;

use super::copied::{archived, archived_once, two_stores};
use crate::common::machine::Machine;
use crate::common::whole::first_and_seventh;

/// A machine whose copy has the full, and not the incremental.
fn behind() -> Machine {
    let machine = archived_once();
    let run = machine.run("copy home --to second");
    assert_eq!((run.code, run.stderr.as_str()), (Some(0), ""));
    let [_, incremental] = first_and_seventh(17 << 10);
    let run = machine.run_with("decide 2024-01-07", &incremental);
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    machine
}

/// The lines of a text, each without the spaces before it.
fn lines(text: &str) -> Vec<&str> {
    text.lines().map(str::trim_start).collect()
}

#[test]
fn the_list_says_where_each_archive_lies_and_what_a_copy_lacks() {
    let machine = archived();
    let before = machine.run("list");
    assert!(!before.stdout.contains("home, second"), "{before:?}");
    assert!(!before.stdout.contains("copy"), "{before:?}");
    machine.run("copy home --to second");
    let run = machine.run("list");
    let whole: Vec<&str> = lines(&run.stdout);
    assert_eq!(
        whole
            .iter()
            .filter(|line| line.ends_with("  home, second"))
            .count(),
        2,
        "{run:?}"
    );
    assert_eq!(
        whole.last(),
        Some(&"copy second  all 2 archives, complete today"),
        "{run:?}"
    );

    let machine = behind();
    let run = machine.run("list");
    let whole = lines(&run.stdout);
    assert!(
        whole[2].contains("2024-01-01") && whole[2].ends_with("  home, second"),
        "{run:?}"
    );
    assert!(
        whole[3].contains("2024-01-07") && whole[3].ends_with("  home"),
        "{run:?}"
    );
    assert_eq!(
        whole.last(),
        Some(&"copy second  1 of 2 archives, behind since 2024-01-07, complete today"),
        "{run:?}"
    );
}

#[test]
fn json_and_show_name_the_places_only_where_there_is_a_copy() {
    let machine = archived();
    let source = machine.listed()["sources"][0].clone();
    assert!(source.get("copies").is_none());
    assert!(source["chains"][0]["archives"][0].get("places").is_none());
    assert!(
        !machine
            .run("show home 2024-01-01")
            .stdout
            .contains("lies in")
    );
    let machine = behind();
    let source = machine.listed()["sources"][0].clone();
    let copy = &source["copies"][0];
    assert_eq!(
        (&copy["name"], &copy["nightly"]),
        (&"second".into(), &false.into())
    );
    assert_eq!((&copy["archives"], &copy["of"]), (&1.into(), &2.into()));
    assert_eq!(copy["behind_since"], "2024-01-07");
    let archives = &source["chains"][0]["archives"];
    assert_eq!(archives[0]["places"], serde_json::json!(["home", "second"]));
    assert_eq!(archives[1]["places"], serde_json::json!(["home"]));
    let shown = machine.run("show home 2024-01-01");
    assert!(
        shown.stdout.contains("\nlies in       home, second\n"),
        "{shown:?}"
    );
    let shown = machine.run("show home 2024-01-07 --json");
    let shown: serde_json::Value = serde_json::from_str(&shown.stdout).unwrap();
    assert_eq!(shown["places"], serde_json::json!(["home"]));
}

#[test]
fn doctor_warns_of_a_copy_that_was_never_made_is_behind_or_is_in_no_kit() {
    let nightly = two_stores().replace(
        "store = \"disk\"\n",
        "store = \"disk\"\ncopies = [\"second\"]\n",
    );
    let machine = archived();
    machine.write_config(&nightly);
    let run = machine.run("doctor");
    assert!(
        run.stderr.contains(
            "home: its copy in second was never made: run `coldchain copy home --to second`\n"
        ),
        "{run:?}"
    );
    // The store of a copy is probed like any other.
    assert!(run.stdout.contains("second: file://$T/second\n"), "{run:?}");
    let machine = behind();
    let run = machine.run("doctor");
    assert!(
        run.stderr.contains("home: its copy in second has 1 of 2 archives, behind since 2024-01-07, complete today\n"),
        "{run:?}"
    );
    let not_in_kit =
        "no recovery kit names its copy in file://$T/second: run `coldchain key kit`\n";
    assert!(run.stderr.contains(not_in_kit), "{run:?}");
    let run = machine.run("key kit --kit $T/kit");
    assert_eq!(run.code, Some(0), "{run:?}");
    let kit = fs::read_to_string(machine.path("kit")).unwrap();
    assert!(
        kit.contains(&machine.fill("#   copy    file://$T/second\n")),
        "{kit}"
    );
    assert!(!machine.run("doctor").stderr.contains(not_in_kit));
    // A rebuild takes the kit's word for that.
    fs::remove_dir_all(machine.path("state")).unwrap();
    let run = machine
        .run("catalog rebuild --store file://$T/store --store file://$T/second --identity $T/kit");
    assert_eq!(run.code, Some(0), "{run:?}");
    assert!(!machine.run("doctor").stderr.contains(not_in_kit));
}

#[test]
fn a_copy_that_the_config_no_longer_makes_can_be_forgotten() {
    let machine = behind();
    let nightly = two_stores().replace(
        "store = \"disk\"\n",
        "store = \"disk\"\ncopies = [\"second\"]\n",
    );
    machine.write_config(&nightly);
    let run = machine.run("forget home --copy second --yes");
    run.is(
        2,
        "",
        "error: cannot forget the copy second of `home`: the config still names it\n\
         hint: take it out of `copies` in the config first\n",
    );
    machine.write_config(&two_stores());
    let run = machine.run("forget home --copy third --yes");
    assert_eq!(run.code, Some(2), "{run:?}");
    assert!(
        run.stderr
            .contains("the catalog has no copy third of `home`\n"),
        "{run:?}"
    );
    let run = machine.run("forget home --copy second --yes");
    run.is(
        0,
        "home: copy second removed from the catalog\n\
         home: what is in file://$T/second stays: 1 archive as of the last run; `coldchain copy` or \
         `coldchain catalog rebuild` finds it again\n",
        "",
    );
    assert!(!machine.run("list").stdout.contains("copy"));
    // What it had is recognized.
    let run = machine.run("copy home --to second");
    assert!(
        run.stdout
            .starts_with("home: copy in second: 1 archive copied, "),
        "{run:?}"
    );
}
