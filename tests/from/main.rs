//! What users of five older tools do, by the pages in `docs/from`; and the library's face.

#[path = "../common/mod.rs"]
mod common;

mod api;
mod archive_scripts;
mod page;
mod sshd;
