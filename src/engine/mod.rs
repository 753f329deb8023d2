//! Plans carried out over the edges: where btrfs, seal, store, ledger and catalog meet.
//!
//! Nothing here prints or asks. What happens is told to an [`Observer`](crate::progress::Observer);
//! what time it is, is told by a [`Clock`].

mod archive;
mod attempt;
mod awake;
mod backup;
mod clock;
mod commit;
mod decide;
mod doctor;
mod facts;
mod fetch;
mod head;
mod kit_file;
mod listed;
mod lock;
mod pass;
mod price;
mod receive;
mod rehearsal;
mod restore;
mod resume;
mod snapshot;
mod source;
mod state;
mod strays;
mod stream;
mod thaw;
mod unlock;
mod upload;
mod verify;
mod world;

pub use backup::{Asked, Made, Outcome, backup, check_date};
pub use clock::{Clock, SystemClock, local_date};
pub use decide::{Wanted, decide};
pub use doctor::{StoreReport, doctor};
pub use facts::{history, plan_facts, schedule};
pub use head::{LedgerState, catch_up};
pub use kit_file::{KitChange, file_name, read_kit, update_kit};
pub use price::{Estimate, Pricing, estimate};
pub use receive::standing_in;
pub use restore::{RestorePlanDetails, Restoring, plan_details, restore};
pub use resume::{Foreseen, foresee};
pub use snapshot::warning_of_left_out;
pub use source::{OpenSource, know_source, open_store, store_address, store_url};
pub(crate) use state::write_new;
pub use state::{Keys, NewKeys, StateDir};
pub use strays::{find_strays, remove_strays};
pub use stream::{Stdin, StreamSource};
pub use thaw::{SegmentThaw, ThawStatus, WantedSegments, thaw, thaw_state};
pub use unlock::{SealedArchive, opens_nothing, sealed_archives};
pub use verify::{LedgerReport, VerifyReport, Verifying, verify};
pub use world::{OpenCatalog, OpenStore, World};
