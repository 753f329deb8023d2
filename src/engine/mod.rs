//! Plans carried out over the edges: where btrfs, seal, store, ledger and catalog meet.
//!
//! Nothing here prints or asks. What happens is told to an [`Observer`](crate::progress::Observer);
//! what time it is, is told by a [`Clock`].

mod adopt;
mod ahead;
mod archive;
mod as_of_now;
mod attach;
mod attempt;
mod awake;
mod backup;
mod caution;
mod check;
mod classes;
mod clock;
mod commit;
mod decide;
mod doctor;
mod entry_object;
mod facts;
mod feed;
mod fetch;
mod forget;
mod head;
mod key_check;
mod key_roles;
mod kit_file;
mod ledger_change;
mod leftovers;
mod line;
mod listed;
mod lock;
mod new_file;
mod open_ahead;
mod opening;
mod pace;
mod pass;
mod price;
mod private_file;
mod prune;
mod rebuild;
mod receive;
mod receiving;
mod rehearsal;
#[cfg(test)]
mod replayed_tests;
mod restore;
mod restore_mark;
mod restore_place;
mod resume;
mod retain;
mod revive;
mod rotate;
mod secrets;
mod send_parent;
mod snapshot;
mod source;
mod state;
mod stream;
mod stream_out;
mod survey;
mod thaw;
mod trust;
mod unknown_archives;
mod unlock;
mod upload;
mod verify;
mod world;
mod zeros;

pub use adopt::{Adopted, adopt};
pub use as_of_now::{still_stands, take_in};
pub use attach::{Attach, Attached, attach_recipient};
pub use backup::{Asked, Made, Outcome, backup, check_date, host_name};
pub use caution::{cautions, stands_as_of, stands_at_own_word};
pub use check::{Checked, Difference, check};
pub use classes::ask_classes;
pub use clock::{Clock, SystemClock, local_date};
pub use decide::{Wanted, decide};
pub use doctor::{StoreReport, doctor};
pub use facts::{history, plan_facts, schedule};
pub use fetch::AtOnce;
pub use forget::{
    Remembered, forget, remembered, unconfigured, warn_of_unconfigured, warning_of_unconfigured,
};
pub use head::{LedgerState, catch_up};
pub use key_check::{ChainOpens, Tried, check_identity};
pub use key_roles::{SignedEntry, entries_of, keys_of, kit_source, kit_sources};
pub use kit_file::{
    KitChange, NOT_IN_KIT, add_root_to_kit, config_for_kit, file_name, is_in_kit, kit_knows_more,
    kit_to_change, note_in_kit, open_identity_file, read_kit, update_kit, witnessed_by,
};
pub use leftovers::{Leftover, leftovers_of_all};
pub use new_file::NewFile;
pub use price::{Estimate, Pricing, estimate};
pub(crate) use private_file::write_new;
pub use prune::{CutShort, PruneAsked, Pruned, foresee_prune, prune};
pub use rebuild::{AsOf, Flaw, LedgerRead, Rebuilding, Rebuilt, Unfinished, Unnamed, rebuild};
pub use receive::{Afterwards, require_target, standing_in};
pub use restore::{RestorePlanDetails, Restored, Restoring, Which, plan_details, restore};
pub use resume::{Foreseen, foresee};
pub use revive::{Revived, revive};
pub use rotate::{KeyChange, Rotated, rotate};
pub use secrets::secrets_in_reach;
pub use send_parent::{Unfit, doubtful_archives};
pub use snapshot::{warning_of_left_out, warning_of_swap};
pub use source::{
    OpenSource, adopt_name, is_place, know_source, open_limited_store, open_store, store_address,
    store_url,
};
pub use state::{Keys, NewKeys, StateDir, roles_for};
pub use stream::{Stdin, StreamSource};
pub use stream_out::{StreamingOut, stream_out};
pub use thaw::{SegmentThaw, ThawStatus, WantedSegments, thaw, thaw_state};
pub use trust::{Trusted, Word};
pub use unknown_archives::{Asking, require_known, require_known_archives};
pub use unlock::{SealedArchive, opens_nothing, sealed_archives};
pub use verify::{Drill, LedgerReport, Verified, VerifyReport, Verifying, root_of_copy, verify};
pub use world::{OpenCatalog, OpenStore, World};
