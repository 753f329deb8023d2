//! Who may sign, and who may open.

pub(super) mod add_recipient;
pub(super) mod check;
pub(super) mod exposed_secrets;
pub(super) mod rotate;
