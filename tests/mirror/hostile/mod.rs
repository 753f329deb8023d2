//! Each side of a mirror over ssh against one that wants to do harm.

mod against_client;
mod against_server;
mod raw_client;

// The hostile archives of the tests of restores, sent to a mirror.
#[allow(dead_code, reason = "a restore's tests use the rest")]
#[path = "../../restore/confinement/ground.rs"]
mod ground;
#[allow(dead_code, reason = "a restore's tests use the rest")]
#[path = "../../restore/confinement/hostile_chain.rs"]
mod hostile_chain;
#[allow(dead_code, reason = "a restore's tests use the rest")]
#[path = "../../restore/confinement/moves.rs"]
mod moves;
#[allow(dead_code, reason = "a restore's tests use the rest")]
#[path = "../../restore/confinement/plots.rs"]
mod plots;
