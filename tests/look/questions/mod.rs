//! Questions about files in archives, over indexes that are filled by hand.

mod commands;
mod fill;
mod oracle;
mod reports;
