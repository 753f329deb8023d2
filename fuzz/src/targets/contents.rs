//! Contents: what a guard keeps of a stream, and any bytes.
//!
//! A reader takes what the guard kept, command by command, and stops where the guard did. Whatever it reads, the commands
//! lie behind each other, and the data of each at its end.

use coldchain::btrfs::{ContentsError, ContentsReader, Expect, Guard, GuardError};

use super::Outcome;
use super::guard;
use super::input::{Input, seed};

const AS_IT_IS: u8 = 0;
const KEPT: u8 = 1;

pub fn run(data: &[u8]) -> Outcome {
    let mut input = Input::new(data);
    if input.byte() % 2 == AS_IT_IS {
        return Outcome::of(&read(input.rest()));
    }
    let (contents, verdict) = kept(&guard::written(&mut input));
    let read = read(&contents);
    match (&verdict, &read) {
        (Ok(commands), Ok(found)) => assert_eq!(found, commands),
        (Err(refused), Err(ContentsError::Refused(found))) => {
            assert_eq!(
                (found.offset, found.command),
                (refused.offset, refused.command)
            );
        }
        _ => panic!("the guard says {verdict:?}, the reader {read:?}"),
    }
    Outcome::of(&read)
}

/// What a guard keeps of a stream, and its verdict: how many commands there are.
pub fn kept(stream: &[u8]) -> (Vec<u8>, Result<u64, GuardError>) {
    let mut guard = Guard::new(Expect::default());
    guard.keep_contents();
    // A refusal is repeated at the end.
    let _ = guard.push(stream);
    let contents = guard.contents().map(std::mem::take).unwrap_or_default();
    (contents, guard.finish().map(|summary| summary.commands))
}

fn read(contents: &[u8]) -> Result<u64, ContentsError> {
    let mut reader = ContentsReader::open(contents, Expect::default())?;
    // The first command and the end command.
    let mut commands = 2;
    let mut end = reader.offset();
    while let Some(command) = reader.next_command()? {
        commands += 1;
        assert_eq!(command.place.start, end);
        assert!(command.place.end > end);
        end = command.place.end;
        if let Some(data) = command.data {
            assert!(command.place.start < data.start && data.start <= data.end);
            assert_eq!(data.end, end);
        }
    }
    assert!(reader.offset() > end);
    assert!(reader.next_command()?.is_none(), "there is one end");
    Ok(commands)
}

pub fn seeds() -> Vec<Vec<u8>> {
    let mut seeds = vec![seed(&[AS_IT_IS], b""), seed(&[KEPT], b"")];
    for stream in guard::streams() {
        seeds.push(seed(&[AS_IT_IS], &kept(&stream).0));
        seeds.push(seed(&[AS_IT_IS], &stream));
    }
    for script in guard::scripts() {
        seeds.push(seed(&[KEPT], &script));
    }
    seeds
}
