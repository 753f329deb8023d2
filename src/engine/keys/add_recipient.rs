//! Seals the keys of existing archives to one more recipient. The archives themselves do not change: a cold
//! segment stays where it is.

use std::collections::BTreeSet;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

use crate::catalog::{ArchiveRow, Catalog};
use crate::config::{Config, Source};
use crate::engine::context::RunContext;
use crate::engine::context::open_source::OpenSource;
use crate::engine::context::state_dir::StateDir;
use crate::engine::ledger::append::Writer;
use crate::engine::ledger::archive_keys::{SealedArchive, opens_nothing, sealed_archives};
use crate::engine::ledger::change::change_ledger;
use crate::error::Error;
use crate::model::ArchiveId;
use crate::model::entry::{AttachEntry, Attachment, EntryKind, Role};
use crate::seal::{Identities, Recipients};

/// How many keys go into one entry.
const AT_ONCE: usize = 1000;

/// How many of a source's archive keys are sealed to the recipient.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Attached {
    /// Archives whose keys this run sealed to the recipient.
    pub attached: usize,
    /// Archives whose keys were sealed to it before.
    pub already: usize,
    /// Archives whose keys the identities can't open.
    pub unopened: Vec<ArchiveId>,
}

/// Which archive keys to seal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Attach {
    /// Those that are sealed to the recipient according to no entry.
    WhereMissing,
    /// All of them: an entry may be wrong about it.
    Again,
}

/// Seals the keys of a source's visible archives to one more recipient.
pub fn attach_recipient(
    config: &Config,
    source: &Source,
    (recipient, which): (&Recipients, Attach),
    (identities, identity): (&Identities, &str),
    context: RunContext<'_>,
) -> Result<Attached, Error> {
    let keys = StateDir::new(&config.state_dir).keys()?;
    let done = change_ledger(config, source, keys, context, |session, state, catalog| {
        let open = &session.source;
        state.require_writable(open)?;
        state.require_role(session, Role::Writer)?;
        let mut done = Attached::default();
        let objects = sealed_to(
            (recipient, which),
            (identities, identity),
            config,
            open,
            catalog,
            &mut done,
        )?;
        let writer = Writer::between(session);
        for some in objects.chunks(AT_ONCE) {
            let entry = EntryKind::Attach(AttachEntry {
                objects: some.to_vec(),
            });
            while writer.append(entry.clone(), state, catalog)?.is_none() {
                // Another run has taken the number: what is attached stays true, under the next.
                state.require_writable(open)?;
                state.require_role(session, Role::Writer)?;
            }
            done.attached += some.len();
            context.interrupt.check()?;
        }
        Ok(done)
    })?;
    Ok(done.unwrap_or_default())
}

/// Returns the keys of the visible archives, sealed to the recipient. Notes in `done` which keys were sealed
/// before and which ones can't be opened.
fn sealed_to(
    (recipient, which): (&Recipients, Attach),
    (identities, identity): (&Identities, &str),
    config: &Config,
    open: &OpenSource<'_>,
    catalog: &Catalog,
    done: &mut Attached,
) -> Result<Vec<Attachment>, Error> {
    let ledger = &open.row.ledger;
    let visible: Vec<ArchiveId> = catalog
        .archives(ledger)?
        .iter()
        .filter(|archive| ArchiveRow::is_visible(archive))
        .map(|archive| archive.id)
        .collect();
    let fingerprint = recipient.fingerprint(ledger);
    // The configured set is the only one whose fingerprint can be compared.
    let configured = Recipients::parse(config.recipients()?)?;
    let texts: BTreeSet<&str> = configured.texts().collect();
    let among_configured = recipient.texts().all(|text| texts.contains(text));
    let configured = configured.fingerprint(ledger);
    let is_sealed = |archive: &SealedArchive| {
        archive.is_sealed_to(&fingerprint)
            || among_configured && archive.entry.recipients == configured
    };
    let mut objects = Vec::new();
    for archive in sealed_archives(ledger, &visible, catalog)? {
        if which == Attach::WhereMissing && is_sealed(&archive) {
            done.already += 1;
            continue;
        }
        let key = match archive.unlock(&open.row.directory, identities, identity) {
            Ok(key) => key,
            Err(error) if opens_nothing(&error) => {
                done.unopened.push(archive.entry.id);
                continue;
            }
            Err(error) => return Err(error),
        };
        objects.push(Attachment {
            archive: archive.entry.id,
            what: Attachment::KEY.to_owned(),
            recipients: fingerprint,
            sealed: BASE64.encode(key.seal_to(recipient)?),
            contents: None,
            replaces: None,
        });
    }
    Ok(objects)
}
