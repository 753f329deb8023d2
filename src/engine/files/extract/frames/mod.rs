//! Single frames of archives: which bytes of which objects have them, and how they are fetched, opened and believed.
//!
//! [`plan_frames`] says what is asked of the store, and needs no store. [`FramesAhead`] asks for it, several requests at a
//! time, and gives the raw bytes of each frame in order. [`FrameSource`] reads one frame.

mod ahead;
mod plan;
mod source;
mod wanted;

pub(in crate::engine) use ahead::FramesAhead;
pub(in crate::engine) use plan::{FrameRequest, StoreReads, plan_frames};
pub(in crate::engine) use source::FrameSource;
pub(in crate::engine) use wanted::{FrameTarget, WantedFrames};

#[cfg(test)]
mod test_data;
#[cfg(test)]
mod tests;
