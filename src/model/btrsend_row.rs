//! A row of btrsend's table.

/// A row of btrsend's table, as it is: nothing in it is checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BtrsendRow {
    /// `id`
    pub number: i64,
    /// `arn`: what the service answered, which is the id of the archive and no ARN.
    pub arn: String,
    /// `date`
    pub date: String,
    /// `size`: the bytes that gpg printed, which is what was uploaded.
    pub bytes: i64,
    /// `parent`: the date of the send parent; `None` for a full.
    pub parent: Option<String>,
}
