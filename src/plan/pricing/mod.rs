//! What storing and restoring costs: list prices, and sums of whole micro-dollars that are rounded up.

pub mod cost;
pub mod early_deletion;
pub mod egress;
pub mod kept;
pub mod prices;
pub mod usd;
