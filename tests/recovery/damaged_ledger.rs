//! Ledgers of which something is rotten, lost, forked or newer than this program: who reads says so and
//! goes on with what is sound, who writes stops, and nothing is given up unasked.

use std::fs;
use std::path::{Path, PathBuf};

use coldchain::ledger::{SigningKey, decode_body, sign, split, to_canonical};
use coldchain::model::{LedgerId, Sha256};
use serde_json::{Value, json};

use crate::common::machine::{Machine, Run};
use crate::common::replicated::replicated;
use crate::common::stream_builder::StreamBuilder;

const DATES: [&str; 4] = ["2024-01-01", "2024-01-07", "2024-01-14", "2024-01-21"];

/// A machine that is fed a chain: entry 1 opens its ledger, and each date is one more.
struct Fed {
    machine: Machine,
}

impl Fed {
    fn new(dates: usize) -> Self {
        let fed = Self {
            machine: Machine::fed(None),
        };
        for at in 0..dates {
            fed.feed(at);
        }
        fed
    }

    /// Archives the date of that place in the chain.
    #[track_caller]
    fn feed(&self, at: usize) {
        let run = self.decide(at);
        assert_eq!(run.code, Some(0), "{run:?}");
    }

    fn decide(&self, at: usize) -> Run {
        let uuid = |at: usize| [b'a' + u8::try_from(at).unwrap(); 16];
        let (date, stream) = (DATES[at], StreamBuilder::header(1));
        let stream = match at {
            0 => stream.subvol(date.as_bytes(), uuid(at), 10).mkfile(b"file"),
            _ => stream.snapshot(date.as_bytes(), uuid(at), 10, uuid(at - 1), 10),
        };
        let stream = stream.write(b"file", 0, date.as_bytes()).finish();
        self.machine.run_with(&format!("decide {date}"), &stream)
    }

    fn run(&self, words: &str) -> Run {
        self.machine.run(words)
    }

    fn entry(&self, seq: u64) -> PathBuf {
        self.machine
            .path(&format!("store/home/ledger/{seq:08}.entry"))
    }

    fn catalog(&self) -> PathBuf {
        self.machine.path("state/catalog.db")
    }

    fn lose_the_catalog(&self) {
        fs::remove_file(self.catalog()).unwrap();
    }

    fn ledger(&self) -> LedgerId {
        let object = fs::read(self.entry(1)).unwrap();
        let (body, _) = split(&object).unwrap();
        decode_body(body).unwrap().head.ledger
    }

    /// A byte in the middle of an entry's object is another. Returns what it was.
    fn rot(&self, seq: u64) -> Vec<u8> {
        let sound = fs::read(self.entry(seq)).unwrap();
        let mut rotten = sound.clone();
        let middle = rotten.len() / 2;
        rotten[middle] ^= 1;
        overwrite(&self.entry(seq), &rotten);
        sound
    }

    /// The next entry, like the newest but for what is changed, signed by this machine.
    fn forge(&self, seq: u64, change: impl FnOnce(&mut Value)) -> Vec<u8> {
        let newest = fs::read(self.entry(seq - 1)).unwrap();
        let (body, _) = split(&newest).unwrap();
        let mut value: Value = serde_json::from_slice(body).unwrap();
        value["prev"] = json!(Sha256::of(body));
        value["seq"] = json!(seq);
        change(&mut value);
        let mut line = to_canonical(&value).unwrap();
        line.push(b'\n');
        sign(&line, &self.key()).unwrap()
    }

    fn key(&self) -> SigningKey {
        let text = fs::read_to_string(self.machine.path("state/signing.key")).unwrap();
        SigningKey::from_file_text(&text).unwrap()
    }

    #[track_caller]
    fn is_code(&self, words: &str, code: i32) -> Run {
        let run = self.run(words);
        assert_eq!(run.code, Some(code), "{words}: {run:?}");
        run
    }

    /// Whoever would write says that, and the store stays as it is.
    #[track_caller]
    fn every_writer_stops(&self, saying: &str) {
        let before = self.machine.standing();
        for words in [
            "prune",
            "prune --dry-run",
            "key rotate --kit $T/kit --new-signing-key",
            "key add-recipient $R2 --identity $T/kit",
        ] {
            let (secret, recipient) = coldchain::seal::generate_identity();
            drop(secret);
            let run = self.run(&words.replace("$R2", &recipient));
            assert_eq!(run.code, Some(6), "{words}: {run:?}");
            assert!(run.stderr.contains(saying), "{words}: {run:?}");
        }
        let run = self.decide(3);
        assert_eq!(run.code, Some(6), "{run:?}");
        assert!(run.stderr.contains(saying), "{run:?}");
        assert_eq!(self.machine.standing(), before);
    }
}

fn overwrite(path: &Path, bytes: &[u8]) {
    fs::remove_file(path).unwrap();
    fs::write(path, bytes).unwrap();
}

#[track_caller]
fn says(run: &Run, words: &str) {
    assert!(
        run.stdout.contains(words) || run.stderr.contains(words),
        "{words}: {run:?}"
    );
}

#[test]
fn a_newest_entry_that_has_rotted_is_not_passed_over_and_comes_back() {
    let fed = Fed::new(3);
    let sound = fs::read(fed.entry(4)).unwrap();
    let rotten = {
        let mut rotten = sound.clone();
        rotten[sound.len() / 2] ^= 1;
        rotten
    };
    for harm in [
        rotten,
        Vec::new(),
        vec![0; sound.len()],
        sound[..sound.len() / 2].to_vec(),
        sound[sound.len() / 2..].to_vec(),
    ] {
        overwrite(&fed.entry(4), &harm);
        fed.lose_the_catalog();
        let rebuilt = fed.is_code("catalog rebuild", 6);
        says(
            &rebuilt,
            "home: entry 4 is damaged, or is not an entry of this ledger: ",
        );
        says(&fed.is_code("catalog check", 6), "home: entry 4 is damaged");
        says(&fed.is_code("verify", 6), "home/ledger/00000004.entry");
        fed.every_writer_stops(
            "ledger entry 4 of `home` in file://$T/store is damaged, or is not an entry of this ledger\n",
        );
        // What is sound is there.
        fed.is_code("restore home --from store --plan", 0);
        overwrite(&fed.entry(4), &sound);
        fed.is_code("catalog check", 0);
    }
    fed.feed(3);
    let body = fs::read_to_string(fed.entry(5)).unwrap();
    assert!(!body.contains("skips"), "{body}");
    assert_eq!(fed.machine.archived().len(), 4);
    fed.is_code("verify", 0);
    fed.is_code("catalog check", 0);
}

#[test]
fn a_damaged_entry_that_is_moved_away_is_given_up_and_the_next_takes_its_number() {
    let fed = Fed::new(3);
    fed.rot(4);
    fed.lose_the_catalog();
    fed.is_code("catalog rebuild", 6);
    fs::rename(fed.entry(4), fed.machine.path("aside")).unwrap();
    let run = fed.decide(2);
    assert_eq!(run.code, Some(0), "{run:?}");
    assert_eq!(fed.machine.archived().len(), 3);
    let checked = fed.is_code("catalog check", 0);
    says(
        &checked,
        "4 entries, 3 archives: catalog, ledger and store agree",
    );
}

#[test]
fn what_another_puts_under_a_number_is_passed_over_and_told_until_an_entry_says_so() {
    let fed = Fed::new(3);
    fs::write(fed.entry(5), "somebody else's words\n").unwrap();
    fed.lose_the_catalog();
    says(
        &fed.is_code("catalog rebuild", 6),
        "home: entry 5 is damaged, or is not an entry",
    );
    fed.feed(3);
    let body = fs::read_to_string(fed.entry(6)).unwrap();
    assert!(body.contains("\"skips\":[5]"), "{body}");
    fed.lose_the_catalog();
    let rebuilt = fed.is_code("catalog rebuild", 0);
    says(&rebuilt, "home: entry 5 is passed over: ");
    // Also where it was cleared away since.
    fs::remove_file(fed.entry(5)).unwrap();
    fed.lose_the_catalog();
    fed.is_code("catalog rebuild", 0);
    fed.is_code("verify", 0);
    fed.is_code("prune", 0);
}

#[test]
fn a_rotate_that_has_rotted_drops_nothing_silently_and_brings_no_key_back() {
    let fed = Fed::new(2);
    fed.is_code("key rotate --kit $T/kit --new-signing-key", 0);
    fed.feed(2);
    let sound = fed.rot(4);
    fed.lose_the_catalog();
    let rebuilt = fed.is_code("catalog rebuild", 6);
    says(
        &rebuilt,
        "home: entry 4 is damaged, or is not an entry of this ledger: ",
    );
    says(
        &rebuilt,
        "home: entry 5 is damaged, or is not an entry of this ledger: ",
    );
    fed.every_writer_stops("ledger entry 4 of `home`");
    overwrite(&fed.entry(4), &sound);
    fed.is_code("catalog rebuild", 0);
    fed.feed(3);
    assert_eq!(fed.machine.archived().len(), 4);
}

#[test]
fn a_rebuild_over_a_sound_catalog_makes_no_worse_one() {
    for newest in [false, true] {
        for harm in ["rotten", "lost"] {
            let fed = Fed::new(3);
            let before = replicated(&fed.catalog(), fed.ledger());
            let seq = if newest { 4 } else { 3 };
            let sound = fed.rot(seq);
            if harm == "lost" {
                fs::remove_file(fed.entry(seq)).unwrap();
            }
            if newest && harm == "lost" {
                let rebuilt = fed.is_code("catalog rebuild", 6);
                says(&rebuilt, "has gone back: entry 4 is missing");
            } else {
                let told = format!(
                    "home: entry {seq} is damaged or lost in the store; the old catalog's copy is used: "
                );
                says(&fed.is_code("catalog check", 6), &told);
                says(&fed.is_code("catalog check", 6), "differ in 1 place\n");
                says(&fed.is_code("catalog rebuild", 6), &told);
            }
            assert_eq!(replicated(&fed.catalog(), fed.ledger()), before);
            fed.is_code("restore home --from store --plan", 0);
            let verified = fed.is_code("verify", 6);
            says(&verified, &format!("home/ledger/{seq:08}.entry"));
            if newest {
                let run = fed.decide(3);
                assert_eq!(run.code, Some(6), "{run:?}");
                assert!(!run.stderr.contains("forked"), "{run:?}");
            }
            let _ = fs::remove_file(fed.entry(seq));
            fs::write(fed.entry(seq), sound).unwrap();
            fed.is_code("catalog rebuild", 0);
            assert_eq!(replicated(&fed.catalog(), fed.ledger()), before);
        }
    }
}

#[test]
fn verify_goes_on_past_an_entry_that_is_lost_for_good() {
    for harm in ["rotten", "lost"] {
        let fed = Fed::new(3);
        fed.rot(3);
        if harm == "lost" {
            fs::remove_file(fed.entry(3)).unwrap();
        }
        fed.lose_the_catalog();
        fed.is_code("catalog rebuild", 6);
        let verified = fed.is_code("verify --deep --identity $T/kit", 6);
        says(
            &verified,
            "home: DAMAGED    home/ledger/00000003.entry: what it said is lost: ",
        );
        says(&verified, "objects fetched and hashed, decrypted");
        assert!(
            !verified.stderr.contains("catalog is damaged"),
            "{verified:?}"
        );
        says(&verified, "error: 1 object of `home`");
    }
}

#[test]
fn damage_that_a_check_has_found_is_known_after_a_rebuild() {
    let fed = Fed::new(2);
    let segment = fed.machine.objects(".zst.age").remove(0);
    let sound = fs::read(&segment).unwrap();
    let mut rotten = sound.clone();
    rotten[sound.len() / 2] ^= 1;
    overwrite(&segment, &rotten);
    fed.is_code("verify --deep", 6);
    let state = |fed: &Fed| fed.machine.listed()["sources"][0]["chains"][0]["state"].clone();
    assert_eq!(state(&fed), "damaged");
    fed.is_code("catalog rebuild", 0);
    assert_eq!(state(&fed), "damaged");
    overwrite(&segment, &sound);
    fed.is_code("verify", 0);
    assert_eq!(state(&fed), "damaged", "a listing sees no bytes");
    fed.is_code("verify --deep --identity $T/kit", 0);
    assert_eq!(state(&fed), "complete");
}

/// Two histories of a ledger after the same two archives: the store's entries 4 and 5 of the first, and a
/// machine that has committed another entry 4.
fn forked() -> (Fed, Vec<u8>, Vec<u8>) {
    let fed = Fed::new(2);
    let older = fs::read(fed.catalog()).unwrap();
    fed.feed(2);
    fed.feed(3);
    let first = fs::read(fed.entry(4)).unwrap();
    let second = fs::read(fed.entry(5)).unwrap();
    fs::remove_file(fed.entry(4)).unwrap();
    fs::remove_file(fed.entry(5)).unwrap();
    overwrite(&fed.catalog(), &older);
    fed.feed(2);
    assert_ne!(fs::read(fed.entry(4)).unwrap(), first);
    (fed, first, second)
}

#[test]
fn a_fork_is_told_as_one_wherever_it_begins() {
    let (fed, first, second) = forked();
    let own = fs::read(fed.entry(4)).unwrap();
    // After the newest that is known here.
    fs::write(fed.entry(5), &second).unwrap();
    let checked = fed.is_code("catalog check", 6);
    says(
        &checked,
        "home: the ledger has forked, and is read up to entry 4 only: ",
    );
    says(
        &checked,
        "it does not follow the entry before it: it names the body ",
    );
    assert!(!checked.stdout.contains("Some("), "{checked:?}");
    fed.every_writer_stops("it does not follow the entry before it");
    // In the place of the newest, and before it.
    for (fourth, fifth) in [(&first, None), (&first, Some(&second))] {
        overwrite(&fed.entry(4), fourth);
        let _ = fs::remove_file(fed.entry(5));
        if let Some(fifth) = fifth {
            fs::write(fed.entry(5), fifth).unwrap();
        }
        let told = "has forked: entry 4 is not the one that was committed";
        says(&fed.is_code("catalog check", 6), told);
        let before = fs::read(fed.catalog()).unwrap();
        says(&fed.is_code("catalog rebuild", 6), told);
        assert_eq!(fs::read(fed.catalog()).unwrap(), before);
        fed.every_writer_stops(told);
    }
    // Without a catalog both entries are valid, and the second does not follow.
    overwrite(&fed.entry(4), &own);
    fed.lose_the_catalog();
    let rebuilt = fed.is_code("catalog rebuild", 6);
    says(
        &rebuilt,
        "home: the ledger has forked, and is read up to entry 4 only: ",
    );
}

#[test]
fn a_ledger_of_a_later_format_is_read_with_a_warning_and_not_written() {
    let fed = Fed::new(2);
    let newer = fed.forge(4, |body| body["format"] = json!(3));
    fs::write(fed.entry(4), newer).unwrap();
    let warning = "warning: home: its ledger is newer than this program, which does not understand these entries and leaves them out: \
                   entry 4 has format 3\n";
    fed.lose_the_catalog();
    let rebuilt = fed.is_code("catalog rebuild", 6);
    says(&rebuilt, "home: 4 entries read, 2 archives\n");
    assert_eq!(
        rebuilt.stderr,
        format!(
            "{warning}error: the ledger of `home` has entries that this version does not know: entry 4 has format 3\n\
             hint: use the version of coldchain that wrote them, or a later one; if a stolen key signed them, run `coldchain key rotate --kit FILE --source NAME --remove KEY --void NUMBER` to withdraw the key and to void them\n"
        )
    );
    for words in [
        "list",
        "restore home --from store --plan",
        "verify",
        "show 2024-01-07",
    ] {
        assert_eq!(fed.is_code(words, 0).stderr, warning, "{words}");
    }
    fed.every_writer_stops("has entries that this version does not know: entry 4 has format 3");
    // A writer that was there before learns of it.
    let fed = Fed::new(2);
    let newer = fed.forge(4, |body| body["kind"] = json!("rewind"));
    fs::write(fed.entry(4), newer).unwrap();
    assert_eq!(fed.is_code("list", 0).stderr, "");
    fed.every_writer_stops("entry 4 is of the unknown kind");
    says(
        &fed.is_code("list", 0),
        "its ledger is newer than this program",
    );
    fs::remove_file(fed.entry(4)).unwrap();
}

#[test]
fn a_ledger_that_opens_in_a_later_format_says_so() {
    let fed = Fed::new(1);
    let object = fs::read(fed.entry(1)).unwrap();
    let (body, _) = split(&object).unwrap();
    let mut value: Value = serde_json::from_slice(body).unwrap();
    value["format"] = json!(2);
    let mut line = to_canonical(&value).unwrap();
    line.push(b'\n');
    overwrite(&fed.entry(1), &sign(&line, &fed.key()).unwrap());
    fed.lose_the_catalog();
    for trust in ["", "--identity $T/kit"] {
        fed.run(&format!("catalog rebuild {trust}")).is(
            6,
            "",
            "error: ledger entry 1 of `home` in file://$T/store was refused\n\
             caused by: the ledger has format 2, and this version knows format 1\n\
             hint: use the coldchain that wrote it, or a later one\n",
        );
    }
}

#[test]
fn what_somebody_has_written_into_an_entry_does_not_command_the_terminal() {
    let fed = Fed::new(2);
    let hostile = fed.forge(4, |body| {
        body["kind"] = json!("open");
        body["open"] = json!({"keys": [{"key": "RW", "roles": ["writer"]}]});
    });
    let hostile = String::from_utf8(hostile).unwrap();
    let hostile = hostile.replace("[\"writer\"]", "[\"\\u001b[2J\\r\\nhome: all is sound\"]");
    fs::write(fed.entry(4), hostile).unwrap();
    for words in ["catalog check", "verify", "prune"] {
        let run = fed.is_code(words, 6);
        let told = format!("{}{}", run.stdout, run.stderr);
        let mut letters = told.chars();
        let obeyed = letters.any(|letter| letter.is_control() && letter != '\n');
        assert!(!obeyed, "{words}: {told}");
        assert!(!told.contains("\nhome: all is sound"), "{words}: {told}");
    }
}
