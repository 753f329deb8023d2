//! Runs that are cut: what a later run makes of them, and that no snapshot shows half a state.
