//! Every operation on store and catalog × every fault: a run that was struck loses nothing, reports
//! no success that there is not, and the next run makes it good.

mod archiving;
mod attached_contents;
mod keys;
mod late;
mod lost_contents;
mod pruning;
mod racing;
mod restoring;

use crate::common::enumerate::{Cases, enumerate};
