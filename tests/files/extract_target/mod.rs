//! What extract makes in a target directory, on several filesystems and as several users.

mod continued;
mod kept;
mod listing;
mod places;
mod refused;
