//! `extract --explain`: print a script that puts one file together with public tools.
//!
//! It fetches whole segments, whose SHA-256 is the signed one, and copies the bytes that the file needs of each.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::asked::{ExtractManner, PlannedExtraction};
use crate::catalog::Catalog;
use crate::commands::output::{answer, count};
use crate::commands::public_tools::{
    OPENERS, fetch, sealed_keys, segments, thaw, variable, vouched_for,
};
use crate::config::{Config, StoreConfig};
use crate::engine::{
    ChainArchive, DataPiece, Estimate, Extracting, PieceSource, SealedArchive, WriteRun,
    sealed_archives,
};
use crate::error::{Error, RequestError};
use crate::model::shell::quoted;
use crate::model::size::Bytes;

/// Why a write can't fail here.
const NO_FAILURE: &str = "writing to a string does not fail";

/// The shell functions that copy bytes of a segment into the file.
const COPIERS: &str = r#"
# Copies bytes of the segment's plain text into the file.
copy() { # from, to, how many
    dd if="$work/plain" of="$FILE" bs=1M iflag=skip_bytes,count_bytes oflag=seek_bytes \
        conv=notrunc,nocreat status=none skip="$1" seek="$2" count="$3"
}

# Copies bytes that lie there in commands of CHUNK bytes each, with GAP others between them; PHASE of the first are not
# wanted.
copy_run() { # from, to, how many, CHUNK, GAP, PHASE
    local from=$1 to=$2 left=$3 part=$(($4 - $6))
    while ((left)); do
        ((part <= left)) || part=$left
        copy "$from" "$to" "$part"
        from=$((from + part + $5)) to=$((to + part)) left=$((left - part)) part=$4
    done
}
"#;

/// Prints the script.
pub(super) fn explain(
    manner: &ExtractManner<'_>,
    planned: &PlannedExtraction,
    (extracting, cost): (&Extracting<'_>, &Estimate),
    config: &Config,
    catalog: &Catalog,
) -> Result<(), Error> {
    let store = config.store_of(extracting.source.config)?;
    let file = planned.one_file("--explain")?;
    let chain = &planned.extraction.chain;
    let row = &extracting.source.row;
    let sealed = sealed_archives(&row.ledger, &planned.plan.archives, catalog)?;
    let pieces: Vec<DataPiece> = chain.tree.data(file)?.pieces().collect();
    let mut parts = Vec::new();
    for (number, (archive, sealed)) in (0..).zip(chain.archives.iter().zip(&sealed)) {
        let of_it = pieces.iter().filter(|it| it.source.archive() == number);
        let copies = copies(archive, of_it)?;
        if !copies.is_empty() {
            parts.push((sealed, copies));
        }
    }
    let node = chain.tree.extracted(file)?;
    let (source, date) = (&planned.plan.source, planned.plan.date);
    let mut text = format!(
        "#!/bin/bash\n\
         # A file of {date} of {source}, put together by other programs than coldchain: bash, coreutils, sed, age{},\n\
         # zstd. Nothing may be at FILE.\n\
         {}\
         set -euo pipefail\n\
         {}\n\
         {}\n\
         die() {{ echo \"$*\" >&2; exit 1; }}\n\
         work=$(mktemp -d)\n\
         trap 'rm -rf -- \"$work\"' EXIT\n\
         {OPENERS}{COPIERS}\n\
         # Prints an object of the store.\n\
         fetch() {{ {}; }}\n\
         \n\
         # All of it is read before any of it runs.\n\
         main() {{\n",
        match store {
            StoreConfig::Dir { .. } => "",
            StoreConfig::S3 { .. } | StoreConfig::Vault { .. } => ", aws",
        },
        vouched_for(&row.name, catalog)?,
        variable("KIT", manner.identity, "the recovery kit"),
        variable("FILE", None, "the file that is made"),
        fetch(store),
    );
    let directory = &row.directory;
    if !matches!(store, StoreConfig::Dir { .. }) && cost.is_cold() {
        text.push_str(&thaws((manner, store, directory), &parts));
    }
    writeln!(
        text,
        "[ ! -e \"$FILE\" ] && [ ! -L \"$FILE\" ] || die \"$FILE is there already\"\n\
         (umask 077; set -o noclobber; : > \"$FILE\")\n\
         truncate -s {} -- \"$FILE\"",
        node.size
    )
    .expect(NO_FAILURE);
    for (archive, copies) in &parts {
        copy_archive(&mut text, (store, directory), archive, copies);
    }
    writeln!(
        text,
        "chmod {:o} -- \"$FILE\"\ntouch -d @{}.{:09} -- \"$FILE\"\n}}\nmain \"$@\" < /dev/null",
        node.mode & 0o777,
        node.mtime.div_euclid(1_000_000_000),
        node.mtime.rem_euclid(1_000_000_000),
    )
    .expect(NO_FAILURE);
    answer(&text)
}

/// The commands that copy from one segment, by its index.
type Copies = Vec<(usize, Vec<String>)>;

/// Returns the commands that copy pieces out of an archive.
fn copies<'p>(
    archive: &ChainArchive,
    pieces: impl Iterator<Item = &'p DataPiece>,
) -> Result<Copies, Error> {
    let mut of_segments: BTreeMap<usize, Vec<String>> = BTreeMap::new();
    for piece in pieces {
        let PieceSource::Run(run) = piece.source else {
            return Err(RequestError::CommandLine(
                "the file has compressed data in its streams, which no public tool unpacks: leave --explain out"
                    .to_owned(),
            )
            .into());
        };
        let mut begin = 0;
        for (index, segment) in archive.entry.segments.iter().enumerate() {
            let end = begin + segment.raw_bytes;
            let first = run.bytes_before(begin).min(piece.bytes);
            let last = run.bytes_before(end).min(piece.bytes);
            if first < last
                && let PieceSource::Run(from) = piece.source.shifted(first)
            {
                let command = command(from, begin, piece.at + first, last - first);
                of_segments.entry(index).or_default().push(command);
            }
            begin = end;
        }
    }
    Ok(of_segments.into_iter().collect())
}

fn command(run: WriteRun, begin: u64, to: u64, bytes: u64) -> String {
    let from = run.at - begin;
    if run.gap == 0 {
        return format!("copy {from} {to} {bytes}");
    }
    format!(
        "copy_run {from} {to} {bytes} {} {} {}",
        run.chunk, run.gap, run.phase
    )
}

fn copy_archive(
    text: &mut String,
    (store, directory): (&StoreConfig, &str),
    archive: &SealedArchive,
    copies: &Copies,
) {
    let entry = &archive.entry;
    writeln!(
        text,
        "\n# {}: {} of {}\nunlock {}",
        entry.id,
        count(copies.len() as u64, "segment"),
        Bytes(entry.raw_bytes),
        sealed_keys(archive)
    )
    .expect(NO_FAILURE);
    let all: Vec<_> = segments(directory, store, archive).collect();
    for (index, commands) in copies {
        let Some((sha256, key)) = all.get(*index) else {
            continue;
        };
        let key = quoted(key.as_bytes());
        writeln!(
            text,
            "segment {sha256} {key} > \"$work/plain\" || die 'a segment is damaged or missing'"
        )
        .expect(NO_FAILURE);
        for command in commands {
            writeln!(text, "{command}").expect(NO_FAILURE);
        }
    }
}

/// Returns the commands that thaw the segments.
fn thaws(
    (manner, store, directory): (&ExtractManner<'_>, &StoreConfig, &str),
    parts: &[(&SealedArchive, Copies)],
) -> String {
    let mut text = "\
        # Thaw what is cold first: run this script with the argument `thaw`. Hours later, run it again without it.\n\
        if [ \"${1-}\" = thaw ]; then\n"
        .to_owned();
    for (archive, copies) in parts {
        let all: Vec<_> = segments(directory, store, archive).collect();
        for (index, _) in copies {
            if let Some((_, name)) = all.get(*index) {
                writeln!(text, "    {}", thaw(store, name, manner.thawing)).expect(NO_FAILURE);
            }
        }
    }
    text + "    exit\nfi\n"
}
