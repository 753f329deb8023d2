//! The ledger: an append-only list of signed entries. What exists is what the ledger says.
//!
//! An entry is one object: its body on line 1 in RFC 8785 canonical JSON, then a minisign signature over that
//! line with its newline. Every byte of it counts. Each body names the SHA-256 of the body before it, and no
//! key is trusted because the store says so: the caller names the ledger id and the root key, and every other
//! key gets its roles from the root key.
//!
//! This module only works on bytes. The store keeps the entries.

mod attached_contents;
mod body;
mod canonical;
mod error;
mod grant;
mod key;
mod replay;
mod signature;

pub use attached_contents::{AttachedContents, contents_of};
pub use body::{decode_body, encode_body};
pub use canonical::{parse_canonical, to_canonical};
pub use error::{EntryRefusal, LedgerError};
pub use grant::{make_grant, root_grant, verify_grant};
pub use key::{PublicKey, SigningKey};
pub use replay::{Absorbed, Head, Refused, Replay, Trust, Warning, within_reach};
pub use signature::{sign, split};
