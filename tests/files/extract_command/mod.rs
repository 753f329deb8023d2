//! `coldchain extract` by the program: what it asks of a store, what it costs, and what it says.

pub(crate) mod archived;
mod bad_input;
mod cold;
mod damaged;
mod killed;
mod on_disk;
mod peers;
mod ways;
