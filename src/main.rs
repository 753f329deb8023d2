//! placeholder while the modules are made
fn main() {}
