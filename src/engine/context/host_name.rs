//! The name of this machine.

/// Returns the node name that the kernel reports.
pub fn host_name() -> String {
    rustix::system::uname()
        .nodename()
        .to_string_lossy()
        .into_owned()
}
