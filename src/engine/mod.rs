//! Carries out plans: here btrfs, seal, store, ledger and catalog meet.
//!
//! Nothing here prints or asks. Events go to an [`Observer`](crate::progress::Observer); the time comes from
//! a [`Clock`].
//!
//! Each task has a module: `backup`, `restore`, `prune`, `verify`, `rebuild` (a catalog from the stores),
//! `mirror`, `copy` (archives in other stores), `pull`, `import` (another
//! tool's archives), `files` (single files in snapshots and mirrors), `cost` and `keys`. They share `context` (state directory,
//! store, clock, lock), `ledger` (reads and writes the ledger in the store) and `snapshots` (those on this machine).

mod backup;
mod context;
mod copy;
mod cost;
mod doctor;
mod files;
mod import;
mod keys;
mod ledger;
mod mirror;
mod prune;
mod pull;
mod rebuild;
mod receive;
mod restore;
mod snapshots;
mod status;
mod threads;
mod verify;

pub use backup::decide::{WantedStream, decide};
pub use backup::facts::{history, plan_facts};
pub use backup::outcome::{BackupRequest, CommittedArchive, Outcome};
pub use backup::resume::{Foreseen, foresee};
pub use backup::send_parent::{Unfit, doubtful_archives};
pub use backup::stream_source::{Stdin, StreamSource};
pub use backup::{backup, check_date};
pub use context::clock::{Clock, SystemClock, local_date};
pub use context::host_name::host_name;
pub use context::kit_file::{
    KitChange, NOT_IN_KIT, add_root_to_kit, config_for_kit, copies_not_in_kit, file_name,
    is_in_kit, kit_knows_more, kit_to_change, note_copies_in_kit, note_in_kit, open_identity_file,
    read_kit, update_kit, witnessed_by,
};
pub use context::known_segments::know_segments;
pub use context::new_file::NewFile;
pub use context::open_source::{
    OpenSource, adopt_name, is_place, know_source, open_limited_store, open_paced_store,
    open_store, store_address, store_url,
};
pub(crate) use context::private_file::{
    replace as replace_private_file, replace_as_it_is, write_new,
};
pub use context::schedule::schedule;
pub use context::state_dir::{Keys, NewKeys, StateDir, roles_for};
pub use context::unconfigured_sources::{
    Remembered, forget, remembered, unconfigured, warn_of_unconfigured, warning_of_unconfigured,
};
pub use context::unknown_archives::{Asking, require_known, require_known_archives};
pub use context::{OpenCatalog, OpenStore, RunContext};
pub use copy::asked::{CopiedArchive, CopyRan, CopyRequest};
pub use copy::foresee::{CopyForeseen, foresee_copy};
pub use copy::given_up::foresee_given_up;
pub use copy::known::{KnownCopy, foresee_copies, forget_copy, known_copies, remembered_copy};
pub use copy::lacking::require_copied;
pub use copy::move_home::{MovedHome, OldHome, move_home};
pub use copy::moved_away::{MovedAway, moved_away};
pub use copy::places::ReadablePlace;
pub use copy::run::copy;
pub use copy::target::{copy_store, refuse_move_into_vault};
pub use cost::archives::{ArchiveCost, archive_costs};
pub use cost::first_full::{FirstFull, first_full, upload_rate};
pub use cost::forecast::{
    CostForecast, ForecastSpan, NoForecast, OtherwiseForecast, StoredOtherwise, foresee_cost,
};
pub use cost::monthly::monthly_cost;
pub use cost::restoring::{NewestRestore, RestoreCostAt, restore_costs};
pub use doctor::{LocalCheck, SafeRepair, StoreReport, doctor, local_checks, safe_repairs};
pub use files::attributes::NotKept;
pub use files::contents::attach::{ContentsMade, ContentsRequest, make_contents};
pub use files::contents::kept::KeptContents;
pub use files::contents::wanting::without_contents;
pub use files::copy_tree::CopiedTree;
pub use files::copy_tree::name_of;
pub use files::difference::ContentDifference;
pub use files::extract::chain::{ChainArchive, FramePlace, ReadChain};
pub use files::extract::entries::{ExtractEntry, ExtractedNode};
pub use files::extract::extraction::{ExtractReads, Extraction};
pub use files::extract::reading::FileReader;
pub use files::extract::run::{ExtractEnd, Extracting};
pub use files::extract::target::report::{CountedPaths, Extracted, LeftOut};
pub use files::extract::target::{ExtractOptions, ExtractTarget};
pub use files::extract::wanted::{AllNames, SelectError, Selection};
pub use files::get::{FileGot, WantedVersion, choose_version, get_file, target_of};
pub use files::history::{FileEvent, FileEventKind, FileHistory, VersionFacts, file_history};
pub use files::index::SignedContents;
pub use files::index::anew::{drop_index, make_index_anew};
pub use files::index::replayed::load_contents;
pub use files::index::up_to_date::{IndexedNow, bring_index_up_to_date};
pub use files::locate::{LocatedFile, locate};
pub use files::mounting::{Mounting, ShownSource};
pub use files::pieces::error::PiecesError;
pub use files::pieces::piece::{DataPiece, Encoded, PieceSource, WriteRun};
pub use files::pieces::places::TreeFilePlaces;
pub use files::pieces::replay_pieces;
pub use files::pieces::tree::{NameInTree, PiecesTree, PlacedData};
pub use files::plain_copies::{PlainCopies, PlainCopy, plain_copies};
pub use files::questions::diff::{PathChange, PathChangeKind, PathCost};
pub use files::questions::du::PathWeight;
pub use files::questions::find::{FindRequest, FindWhen, FoundFile};
pub use files::questions::glob::Glob;
pub use files::questions::list::ListedFile;
pub use files::questions::nearest::{NearestCopy, Whereabouts};
pub use files::questions::past::kind_of;
pub use files::questions::{FileIndex, WhichIndexed, index_file, path_of};
pub use files::replay::refusal::{ReplayError, ReplayRefusal};
pub use files::replay::tree::FileTree;
pub use files::replay::{Replayed, replay};
pub use files::yesterday::newest_at;
pub use import::cost::{ImportSize, estimate_import, size_of_import};
pub use import::database::{BtrsendImport, import_btrsend};
pub use import::deletion::{delete_import, forget_import};
pub use import::foreign_vault::{ForeignVault, open_vault};
pub use import::known::{KnownImport, known_imports};
pub use import::restore::{ImportNeeds, ImportRestore, import_needs, ready_gpg, restore_import};
pub use import::spool::Spool;
pub use import::stream_out::{drop_spooled, stream_import};
pub use keys::add_recipient::{Attach, Attached, attach_recipient};
pub use keys::check::{ChainOpens, Tried, check_identity};
pub use keys::exposed_secrets::secrets_in_reach;
pub use keys::rotate::{KeyChange, Rotated, rotate};
pub use ledger::archive_keys::{SealedArchive, opens_nothing, sealed_archives};
pub use ledger::reader_warnings::{cautions, stands_as_of, stands_at_own_word};
pub use ledger::roles::{SignedEntry, entries_of, keys_of, kit_source, kit_sources};
pub use ledger::sync::{LedgerState, catch_up};
pub use ledger::trust::{Trusted, Word};
pub use mirror::asked::{MirrorAsked, MirrorForeseen, MirrorRan, SentSnapshot};
pub use mirror::examine::{MirrorReport, examine_mirrors, examine_mirrors_here};
pub use mirror::forget::{
    forget_mirror, remembered_mirror, unconfigured_mirrors, warning_of_unconfigured_mirror,
};
pub use mirror::known::{HeldSnapshot, KnownMirror, foresee_mirrors, known_mirror, known_mirrors};
pub use mirror::run::{foresee_mirror, mirror};
pub use mirror::server::{MirrorServing, serve_mirror};
pub use prune::old_home::{OldHomeAsked, OldHomePruned, prune_old_home};
pub use prune::revive::{Revived, revive};
pub use prune::{PruneAsked, Pruned, UnfinishedPrune, foresee_prune, prune};
pub use pull::outcome::{PullAsked, PullRan};
pub use pull::run::{foresee_pull, pull, pull_for_the_night};
pub use rebuild::{
    AsOf, CopyFound, Flaw, ImportedLedger, Rebuilding, Rebuilt, Unfinished, Unnamed, rebuild,
};
pub use restore::batch_thaw::{cold_objects, new_token};
pub use restore::classes::ask_classes;
pub use restore::cost::{ArchiveReads, Estimate, Pricing, estimate, estimate_parts};
pub use restore::fetch::AtOnce;
pub use restore::freshness::{still_stands, take_in};
pub use restore::look_for_copies::{CopySearch, FoundCopies, NearCopy, look_for_copies};
pub use restore::nearest::{NearRestore, restore_copy};
pub use restore::other_places::OtherPlaces;
pub use restore::target::{Afterwards, require_target, standing_in};
pub use restore::thaw::{SegmentThaw, ThawStatus, WantedSegments, thaw, thaw_state};
pub use restore::to_file::{StreamingOut, stream_out};
pub use restore::{RestorePlanDetails, Restored, Restoring, Which, plan_details, restore};
pub use snapshots::adopt::{Adopted, adopt};
pub use snapshots::adopt_copy::{AdoptedCopy, adopt_copy};
pub use snapshots::at_any_time::{Snapshotted, prune_snapshots, snapshot, wait_until_freed};
pub use snapshots::left_out::{
    is_in_subvolume, warning_of_left_out, warning_of_store_within, warning_of_swap,
};
pub use snapshots::leftovers::{Leftover, leftovers_of_all};
pub use snapshots::overview::{
    KnownSnapshot, SnapshotsOverview, foresee_expired, look_at_snapshots, withheld_now,
};
pub use snapshots::retention::withheld_in_words;
pub use status::{
    DueSlots, LastPull, NewestChain, SourceStatus, UnfinishedArchive, age, status_of,
};
pub use verify::catalog::{CheckedCatalog, Difference, check};
pub use verify::{
    Drill, LedgerReport, RepairedObject, Repairing, Repairs, UnrepairedObject, Verified,
    VerifyReport, Verifying, root_of_copy, verify, verify_and_repair,
};
