//! Keys: who may sign entries, and who can open archives.

pub(super) mod add_recipient;
pub(super) mod check;
pub(super) mod exposed_secrets;
pub(super) mod rotate;
