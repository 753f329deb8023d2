//! A recovery kit's text: read, brought up to date, and given a root key.
//!
//! Bringing a kit up to date keeps every secret to the byte and says of each source what was given;
//! doing it twice is doing it once.

use std::io::{Seek as _, Write as _};
use std::path::Path;

use coldchain::kit::{Kit, KitSource, MachineConfig, add_root, supplement, update};
use coldchain::ledger::{Head, SigningKey};
use coldchain::model::{LedgerId, Sha256};
use coldchain::seal::IdentityFile;

use super::Outcome;
use super::fixtures;
use super::input::{Input, seed};

/// Bits of the first byte.
const HOME: u8 = 1;
const WORK: u8 = 2;
const ALL_THAT_IT_NAMES: u8 = 4;
const ADD_ROOT: u8 = 8;
const IDENTITIES: u8 = 16;

pub fn run(data: &[u8]) -> Outcome {
    let mut input = Input::new(data);
    let choices = input.byte();
    let bytes = input.rest();
    if choices & IDENTITIES != 0 {
        return identities(bytes);
    }
    let kit = match Kit::parse(bytes) {
        Ok(kit) => kit,
        Err(fault) => {
            assert!(!fault.to_string().is_empty());
            return Outcome::Refused;
        }
    };
    let Ok(text) = std::str::from_utf8(bytes) else {
        return Outcome::Accepted;
    };
    if choices & ADD_ROOT != 0 {
        given_a_root(text, &kit)
    } else {
        updated(text, &kit, &sources(choices, &kit))
    }
}

fn sources(choices: u8, kit: &Kit) -> Vec<KitSource> {
    let mut sources = Vec::new();
    let head = |seq| {
        Some(Head {
            seq,
            hash: Sha256([0xab; 32]),
        })
    };
    if choices & ALL_THAT_IT_NAMES != 0 {
        sources.extend(kit.sources.iter().map(|source| KitSource {
            head: head(u64::MAX),
            ..source.clone()
        }));
    }
    for (bit, name, ledger) in [
        (HOME, "home", LedgerId([1; 16])),
        (WORK, "work", LedgerId([2; 16])),
    ] {
        let named = sources.iter().any(|source| source.ledger == ledger);
        if choices & bit != 0 && !named {
            sources.push(KitSource {
                name: name.parse().expect("it is a name"),
                store: "file:///mnt/o'clock shelf".to_owned(),
                directory: name.to_owned(),
                ledger,
                copies: Vec::new(),
                head: head(1).filter(|_| bit == HOME),
            });
        }
    }
    sources
}

fn updated(text: &str, kit: &Kit, sources: &[KitSource]) -> Outcome {
    // Of any text at hand, for it is written with the rest and must be read again.
    let config = MachineConfig::of("laptop", text);
    let new = match update(text, sources, Some(&config), "kit.txt") {
        Ok(new) => new,
        Err(fault) => {
            assert!(!fault.to_string().is_empty());
            return Outcome::Refused;
        }
    };
    let read = Kit::parse(new.as_bytes()).expect("what is written is read");
    keeps_secrets(text, &read, &new, kit);
    for source in sources {
        let said = read.sources.iter().find(|it| it.ledger == source.ledger);
        assert_eq!(said, Some(source), "{new}");
    }
    for before in &kit.sources {
        if sources.iter().all(|source| source.ledger != before.ledger) {
            assert!(
                read.sources.contains(before),
                "{before:?} is lost in\n{new}"
            );
        }
    }
    let kept = read.configs.iter().find(|kept| kept.host == config.host);
    assert_eq!(kept, Some(&config), "{new}");
    let again = update(&new, sources, Some(&config), "kit.txt");
    assert_eq!(again.as_ref(), Ok(&new));
    let root = read
        .root
        .expect("only a kit with a root key is brought up to date");
    let beside = supplement(&root.to_string(), sources, None, "kit.txt");
    let beside = Kit::parse(beside.as_bytes()).expect("what is written is read");
    assert_eq!(beside.sources, sources);
    assert!(beside.root_secret.is_none());
    Outcome::Accepted
}

fn given_a_root(text: &str, kit: &Kit) -> Outcome {
    let root = root();
    let added = add_root(text, &root);
    match &added {
        Ok(new) => {
            assert!(new.starts_with(text));
            let read = Kit::parse(new.as_bytes()).expect("what is written is read");
            assert_eq!(read.root, Some(root.public()));
            let secret = read.root_secret.expect("it was added");
            assert_eq!(secret.to_file_text(), root.to_file_text());
            assert_eq!(read.sources, kit.sources);
        }
        Err(fault) => assert!(!fault.to_string().is_empty()),
    }
    Outcome::of(&added)
}

/// No line that holds a secret is changed, lost, or put elsewhere.
fn keeps_secrets(before: &str, now: &Kit, new: &str, kit: &Kit) {
    fn lines(text: &str) -> impl Iterator<Item = &str> {
        text.split('\n').filter(|line| {
            let is_identity = !line.starts_with('#') && !line.trim().is_empty();
            is_identity || line.contains("AGE-SECRET-KEY-")
        })
    }
    let mut now_lines = lines(new);
    for line in lines(before) {
        // A last line may have got its end.
        let kept = now_lines.any(|now| now.trim_end() == line.trim_end());
        assert!(kept, "{line:?} is lost in\n{new}");
    }
    let secret = |kit: &Kit| kit.root_secret.as_ref().map(SigningKey::to_file_text);
    assert_eq!(secret(now), secret(kit));
    assert_eq!(now.root, kit.root);
}

/// What age reads of the same bytes.
fn identities(bytes: &[u8]) -> Outcome {
    let mut file = tempfile::tempfile().expect("a temporary file can be made");
    file.write_all(bytes).expect("it can be written");
    file.rewind().expect("it can be read");
    let nobody = |_: &str| None;
    let read = IdentityFile::read(file, Path::new("kit.txt"), &nobody)
        .and_then(|file| file.identities(&nobody));
    if let Err(error) = &read {
        let said = error.to_string();
        // It may say how a secret begins.
        let mut told = said.split("AGE-SECRET-KEY-1").skip(1);
        assert!(
            !said.is_empty() && told.all(|rest| rest.starts_with('…')),
            "{said}"
        );
    }
    Outcome::of(&read)
}

fn root() -> SigningKey {
    let secret = fixtures::all()[0].kit.root_secret.as_ref();
    let text = secret.expect("the fixture's kit has it").to_file_text();
    SigningKey::from_file_text(&text).expect("it reads")
}

pub fn seeds() -> Vec<Vec<u8>> {
    let mut seeds = Vec::new();
    for fixture in fixtures::all() {
        let text = fixture.kit_text.as_bytes();
        for choices in [
            0,
            HOME | WORK,
            ALL_THAT_IT_NAMES | WORK,
            ADD_ROOT,
            IDENTITIES,
        ] {
            seeds.push(seed(&[choices], text));
        }
        let (before, _) = fixture
            .kit_text
            .split_once("# root public key")
            .expect("it has one");
        seeds.push(seed(&[ADD_ROOT], before.as_bytes()));
        let both = update(
            &fixture.kit_text,
            &sources(HOME | WORK, &fixture.kit),
            None,
            "kit.txt",
        );
        let both = both.expect("a kit is brought up to date");
        seeds.push(seed(&[ALL_THAT_IT_NAMES | HOME], both.as_bytes()));
    }
    let armored = "-----BEGIN AGE ENCRYPTED FILE-----\nYWdl\n-----END AGE ENCRYPTED FILE-----\n";
    seeds.push(seed(&[IDENTITIES], armored.as_bytes()));
    seeds.push(seed(&[HOME], armored.as_bytes()));
    let ssh = include_bytes!("../../../src/seal/test_keys/ssh_ed25519");
    seeds.push(seed(&[IDENTITIES], ssh));
    seeds
}
