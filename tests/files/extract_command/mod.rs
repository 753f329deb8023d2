//! `coldchain extract` by the program: what it asks of a store, what it costs, and what it says.

mod archived;
mod bad_input;
mod cold;
mod damaged;
mod killed;
mod peers;
mod ways;
