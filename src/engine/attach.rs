//! Sealing the keys of existing archives to a further recipient. The archives themselves are not
//! touched: a cold segment stays where it is.

use std::collections::BTreeSet;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

use crate::catalog::ArchiveRow;
use crate::config::{Config, Source};
use crate::engine::clock::local_date;
use crate::engine::commit::Writer;
use crate::engine::head;
use crate::engine::source::{OpenSource, know_source, retain_until};
use crate::engine::state::StateDir;
use crate::engine::unlock::{SealedArchive, opens_nothing, sealed_archives};
use crate::engine::world::World;
use crate::error::Error;
use crate::model::ArchiveId;
use crate::model::entry::{AttachEntry, Attachment, EntryKind, Role};
use crate::seal::{Identities, Recipients};

/// Archives whose keys go into one entry.
const AT_ONCE: usize = 1000;

/// How far a source's archives are sealed to the recipient.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Attached {
    /// Archives whose keys were sealed to it now.
    pub attached: usize,
    /// Those that were before.
    pub already: usize,
    /// Those that the identities don't open.
    pub unopened: Vec<ArchiveId>,
}

/// Seals the keys of a source's visible archives to one more recipient.
pub fn attach_recipient(
    config: &Config,
    source: &Source,
    recipient: &Recipients,
    (identities, identity): (&Identities, &str),
    world: World<'_>,
) -> Result<Attached, Error> {
    let state_dir = StateDir::new(&config.state_dir);
    let keys = state_dir.keys()?;
    let mut catalog = world.catalog(&state_dir)?;
    let _lock = state_dir.lock(&source.name, &world)?;
    let mut done = Attached::default();
    if catalog.source(&source.name)?.is_none() {
        return Ok(done);
    }
    let store = world.open(&config.stores[&source.store])?;
    let open = OpenSource {
        config: source,
        row: know_source(config, source, &mut catalog)?,
        store: store.as_ref(),
    };
    let mut state = head::catch_up(&open, &mut catalog, &keys.root)?;
    state.warn(&source.name, world.observer);
    state.require_known(&open)?;
    state.require_role(&open, &keys, Role::Writer)?;

    let ledger = &open.row.ledger;
    let visible: Vec<ArchiveId> = catalog
        .archives(ledger)?
        .iter()
        .filter(|archive| ArchiveRow::is_visible(archive))
        .map(|archive| archive.id)
        .collect();
    let fingerprint = recipient.fingerprint(ledger);
    // Only the set that is configured can be told by its fingerprint.
    let configured = Recipients::parse(config.recipients()?)?;
    let texts: BTreeSet<&str> = configured.texts().collect();
    let among_configured = recipient.texts().all(|text| texts.contains(text));
    let configured = configured.fingerprint(ledger);
    let is_sealed = |archive: &SealedArchive| {
        archive.is_sealed_to(&fingerprint)
            || among_configured && archive.entry.recipients == configured
    };
    let mut objects = Vec::new();
    for archive in sealed_archives(ledger, &visible, &catalog)? {
        if is_sealed(&archive) {
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
        });
    }
    let now = world.clock.now();
    let writer = Writer {
        config,
        source: &open,
        keys: &keys,
        clock: world.clock,
        // As long as the archives whose entries it stands between.
        retain_until: retain_until(config, source, local_date(now, config.timezone), now),
    };
    for some in objects.chunks(AT_ONCE) {
        let entry = EntryKind::Attach(AttachEntry {
            objects: some.to_vec(),
        });
        while writer
            .append(entry.clone(), &mut state, &mut catalog)?
            .is_none()
        {
            // Another run has taken the number: what is attached stays true, under the next.
            state.require_known(&open)?;
            state.require_role(&open, &keys, Role::Writer)?;
        }
        done.attached += some.len();
        world.interrupt.check()?;
    }
    Ok(done)
}
