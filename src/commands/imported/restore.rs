//! `coldchain restore --imported`: bring back what another tool stored.

use std::fmt::Write as _;
use std::io::{BufWriter, Write};
use std::path::Path;

use serde_json::json;

use super::date_of;
use crate::activity_log::ActivityLog;
use crate::catalog::{Catalog, ImportedArchiveRow};
use crate::cli::{Everywhere, Restore};
use crate::commands::output::{answer, answer_json, answer_lines, count, observer};
use crate::commands::prompt::{Agreed, confirm};
use crate::commands::{activity_log, load_any};
use crate::config::{Config, StoreConfig};
use crate::engine::{
    Estimate, ImportNeeds, ImportRestore, KnownImport, NewFile, RunContext, Spool, StateDir,
    drop_spooled, estimate_import, import_needs, open_vault, ready_gpg, restore_import,
    stream_import,
};
use crate::error::Error;
use crate::model::SourceName;
use crate::model::size::Bytes;
use crate::plan::{PART_BYTES, Pricing, describe_cost};
use crate::printing::{self, shown};

/// A larger buffer has no use: `btrfs receive` reads no more from a pipe at once.
const BUFFER: usize = 1 << 20;

/// A restore that is planned but not begun.
struct PlannedImport<'a> {
    args: &'a Restore,
    everywhere: &'a Everywhere,
    store: &'a StoreConfig,
    import: &'a KnownImport,
    wanted: &'a ImportedArchiveRow,
    /// What is to be retrieved: the chain, or the one archive whose stream is wanted.
    archives: Vec<ImportedArchiveRow>,
    spool: &'a Spool,
    needs: ImportNeeds,
    estimate: Estimate,
    context: RunContext<'a>,
}

pub(in crate::commands) fn run(
    args: &Restore,
    name: &SourceName,
    everywhere: &Everywhere,
) -> Result<(), Error> {
    let config = load_any(everywhere)?;
    let acts = !args.plan && (args.to.is_some() || args.stream.is_some());
    let log = if acts {
        activity_log(&config)
    } else {
        ActivityLog::none()
    };
    let observer = log.beside(observer(everywhere));
    let context = RunContext::real(observer.as_ref());
    let state_dir = StateDir::new(&config.state_dir);
    let mut catalog = if acts {
        context.catalog(&state_dir)?
    } else {
        state_dir.catalog_to_read()?
    };
    let import = KnownImport::named(name, &catalog)?;
    let store = import.store(&config)?;
    let wanted = import.archive(date_of(args.target.typed(), &config)?)?;
    let archives = match args.stream {
        Some(_) => import.alone(wanted)?,
        None => import.chain(wanted)?,
    };
    let spool = spool(args, name, &config, acts)?;
    let needs = import_needs(&archives, &spool, PART_BYTES)?;
    let planned = PlannedImport {
        args,
        everywhere,
        store,
        import: &import,
        wanted,
        archives,
        spool: &spool,
        needs,
        estimate: estimate_import(&config, store, needs),
        context,
    };
    if !acts {
        return planned.tell();
    }
    crate::commands::recorded(
        (&log, "restore"),
        Some(name),
        || planned.act(&state_dir, &mut catalog),
        |()| crate::activity_log::LogLine::done(name, "restored").of([wanted.date]),
    )
}

/// Returns the spool: below the directory that was named, or in the state directory. A plan makes neither.
fn spool(args: &Restore, name: &SourceName, config: &Config, acts: bool) -> Result<Spool, Error> {
    let own = config.state_dir.join("spool");
    let root: &Path = args.spool.as_deref().unwrap_or(&own);
    if !acts {
        return Ok(Spool::look(root, name));
    }
    if args.spool.is_none() {
        StateDir::new(root).create()?;
    }
    Spool::open(root, name)
}

impl PlannedImport<'_> {
    /// Prints what the restore needs.
    fn tell(&self) -> Result<(), Error> {
        let tier = self.args.thawing.tier;
        if self.everywhere.json {
            let archives: Vec<_> = self.archives.iter().map(|row| row.date).collect();
            let usd = self.estimate.usd_total(tier)?;
            answer_json(&json!({
                "imported": self.import.row.name, "date": self.wanted.date, "archives": archives,
                "bytes_to_retrieve": self.needs.bytes, "jobs": self.needs.parts,
                "spool": shown(self.spool.path()), "usd_total": usd.map(crate::plan::Usd::as_number),
            }))?;
        } else {
            answer(&self.in_words())?;
        }
        self.estimate.refuse(tier, self.args.thawing.max_cost)
    }

    fn in_words(&self) -> String {
        let mut text = format!(
            "{} {}: {}, {} to retrieve by {}\n",
            self.import.row.name,
            self.wanted.date,
            count(self.archives.len() as u64, "archive"),
            Bytes(self.needs.bytes),
            count(self.needs.parts, "job"),
        );
        for archive in &self.archives {
            writeln!(
                text,
                "  {}  {}  {}",
                archive.date,
                Bytes(archive.bytes),
                archive.state.as_str()
            )
            .expect("writing to a string does not fail");
        }
        if self.estimate.pricing == Pricing::Known && self.needs.parts > 0 {
            text += &describe_cost(&self.estimate.cost);
        }
        text + &format!("  spool       {}\n", self.spool.path().display())
    }

    /// Restores, or writes a stream.
    fn act(&self, state_dir: &StateDir, catalog: &mut Catalog) -> Result<(), Error> {
        let tier = self.args.thawing.tier;
        self.estimate.refuse(tier, self.args.thawing.max_cost)?;
        // A wrong key is found before anything costs money.
        let gpg = ready_gpg(self.args.gpg_homedir.as_deref())?;
        let vault = open_vault(self.store, self.context)?;
        let name = &self.import.row.name;
        let question = match (&self.args.stream, &self.args.to) {
            (Some(_), _) => format!("Write the stream of {} of {name}?", self.wanted.date),
            (None, Some(to)) => {
                crate::btrfs::require_root()?;
                format!("Restore into {}?", to.join(name.as_str()).display())
            }
            (None, None) => return self.tell(),
        };
        if Agreed::by(self.args.yes) == Agreed::NotYet {
            printing::say_lines(&self.in_words());
        }
        confirm(Agreed::by(self.args.yes), &question)?;
        let restore = ImportRestore {
            import: self.import,
            chain: &self.archives,
            vault: vault.as_ref(),
            spool: self.spool,
            gpg: &gpg,
            tier,
            part_bytes: PART_BYTES,
            state_dir,
            context: self.context,
        };
        match (&self.args.stream, &self.args.to) {
            (Some(output), _) => self.stream(&restore, output, catalog),
            (None, Some(to)) => {
                let directory = restore_import(&restore, to, catalog)?;
                self.restored(&directory)
            }
            (None, None) => Ok(()),
        }
    }

    fn restored(&self, directory: &Path) -> Result<(), Error> {
        let (name, date) = (&self.import.row.name, self.wanted.date);
        if self.everywhere.json {
            let archives: Vec<_> = self.archives.iter().map(|row| row.date).collect();
            return answer_json(&json!({
                "event": "done", "imported": name, "date": date, "directory": shown(directory),
                "archives": archives,
            }));
        }
        if self.everywhere.quiet {
            return Ok(());
        }
        let dated = directory.join(date.to_string());
        answer_lines([format!("{name}: {date} is restored in {}", dated.display())])
    }

    fn stream(
        &self,
        restore: &ImportRestore<'_>,
        output: &Path,
        catalog: &mut Catalog,
    ) -> Result<(), Error> {
        if output == Path::new("-") {
            let mut stdout = BufWriter::with_capacity(BUFFER, printing::stream_out()?.lock());
            stream_import(restore, self.wanted, &mut stdout, catalog)?;
            return drop_spooled(restore, self.wanted);
        }
        let mut file = NewFile::create(output)?;
        let bytes = {
            let mut buffered = BufWriter::with_capacity(BUFFER, &mut file);
            let bytes = stream_import(restore, self.wanted, &mut buffered, catalog)?;
            buffered
                .flush()
                .map_err(|error| Error::file("write", output, error))?;
            bytes
        };
        file.publish()?;
        drop_spooled(restore, self.wanted)?;
        let (name, date) = (&self.import.row.name, self.wanted.date);
        if self.everywhere.json {
            return answer_json(&json!({
                "event": "done", "imported": name, "date": date, "file": shown(output),
                "raw_bytes": bytes,
            }));
        }
        if self.everywhere.quiet {
            return Ok(());
        }
        answer_lines([format!(
            "{name}: the stream of {date} is in {}, {}",
            output.display(),
            Bytes(bytes)
        )])
    }
}
