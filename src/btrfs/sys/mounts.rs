//! Makes a mount that no other process sees, and a child that sees only this one.
//!
//! What runs between fork and exec must not allocate or lock: every path is a constant, and every
//! descriptor was opened before.
#![allow(
    unsafe_code,
    reason = "mount_setattr and what runs between fork and exec have no safe form"
)]

use std::ffi::{CStr, c_char, c_int, c_long, c_uint};
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::Command;

use landlock::RulesetCreated;
use rustix::fs::CWD;
use rustix::io::Errno;
use rustix::mount::{
    MountPropagationFlags, MoveMountFlags, OpenTreeFlags, mount_change, move_mount, open_tree,
};
use rustix::thread::{
    CapabilitySet, CapabilitySets, UnshareFlags, capabilities, capability_is_in_bounding_set,
    clear_ambient_capability_set, remove_capability_from_bounding_set, set_capabilities,
    unshare_unsafe,
};

unsafe extern "C" {
    fn syscall(number: c_long, ...) -> c_long;
}

/// `mount_setattr`, Linux 5.12; the number is the same on all architectures but alpha.
const SYS_MOUNT_SETATTR: c_long = 442;
/// `AT_EMPTY_PATH` of `linux/fcntl.h`.
const AT_EMPTY_PATH: c_uint = 0x1000;
/// `MS_PRIVATE` of `linux/mount.h`.
const MS_PRIVATE: u64 = 1 << 18;

/// `MOUNT_ATTR_NOSUID`, `NODEV`, `NOEXEC` and (Linux 5.14) `NOSYMFOLLOW` of `linux/mount.h`.
const CONFINING: u64 = 0x2 | 0x4 | 0x8 | 0x20_0000;

/// `struct mount_attr`.
#[repr(C)]
struct MountAttributes {
    set: u64,
    clear: u64,
    propagation: u64,
    user_namespace: u64,
}

const _: () = assert!(size_of::<MountAttributes>() == 32);

/// The capabilities that `btrfs receive` needs, and no more. Without the others, root can't trace, load
/// modules, or read the clock's hardware, and no other process sees the mounts that it could make.
const KEPT: CapabilitySet = CapabilitySet::CHOWN
    .union(CapabilitySet::DAC_OVERRIDE)
    .union(CapabilitySet::FOWNER)
    .union(CapabilitySet::FSETID)
    .union(CapabilitySet::SETFCAP)
    .union(CapabilitySet::MKNOD)
    .union(CapabilitySet::SYS_ADMIN)
    .union(CapabilitySet::SYS_CHROOT);

/// Returns a second mount of the directory `root`, attached nowhere, on which no device is opened, no program
/// started, no setuid bit obeyed and no symbolic link followed. Flags of `root`'s own mount stay.
///
/// The error has the kind `NotConnected` if `root` is no longer mounted, or is on an unbindable mount.
pub(in crate::btrfs) fn confining_mount(root: impl AsFd) -> io::Result<OwnedFd> {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE
        | OpenTreeFlags::OPEN_TREE_CLOEXEC
        | OpenTreeFlags::AT_EMPTY_PATH;
    let mount = open_tree(root, c"", flags).map_err(|errno| match errno {
        // For a directory that can be opened, the kernel returns this for these two reasons only.
        Errno::INVAL => io::Error::from(io::ErrorKind::NotConnected),
        errno => of_call("open_tree", errno),
    })?;
    let attributes = MountAttributes {
        set: CONFINING,
        clear: 0,
        propagation: MS_PRIVATE,
        user_namespace: 0,
    };
    // SAFETY: the call reads an empty string and one such structure, and gets its size. Both outlive it.
    let answer = unsafe {
        let (descriptor, path): (c_int, *const c_char) = (mount.as_raw_fd(), c"".as_ptr());
        let (attributes, size) = (&raw const attributes, size_of::<MountAttributes>());
        syscall(
            SYS_MOUNT_SETATTR,
            descriptor,
            path,
            AT_EMPTY_PATH,
            attributes,
            size,
        )
    };
    match answer {
        -1 => Err(of_call("mount_setattr", io::Error::last_os_error())),
        _ => Ok(mount),
    }
}

/// Returns the error of a system call that may be missing or forbidden, with its name.
pub(in crate::btrfs) fn of_call(name: &str, error: impl Into<io::Error>) -> io::Error {
    let error: io::Error = error.into();
    io::Error::new(error.kind(), format!("{name}: {error}"))
}

/// Returns the names of the capabilities that `btrfs receive` needs and this process lacks.
pub(in crate::btrfs) fn missing_capabilities() -> Vec<&'static str> {
    // If the kernel does not report them, it refuses later what it does not allow.
    let held = capabilities(None).map_or(KEPT, |sets| sets.permitted);
    let missing = KEPT.difference(held).iter_names();
    missing.map(|(name, _)| name).collect()
}

/// Makes the command start with its own mounts, in which `mount` covers the directory `at`, without the
/// capabilities that it does not need, and bound by the rules.
pub(in crate::btrfs) fn confine(
    command: &mut Command,
    mount: OwnedFd,
    at: &'static CStr,
    mut rules: Option<RulesetCreated>,
) {
    // SAFETY: only system calls are made between fork and exec. What a ruleset frees is its descriptor.
    // Nothing is shared with the parent but descriptors, and those stay shared.
    unsafe {
        command.pre_exec(move || {
            unshare_unsafe(UnshareFlags::NEWNS)?;
            let private = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
            mount_change(c"/", private)?;
            let whole = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH;
            move_mount(&mount, c"", CWD, at, whole)?;
            drop_capabilities()?;
            if let Some(rules) = rules.take() {
                rules.restrict_self().map_err(|_| Errno::PERM)?;
            }
            Ok(())
        });
    }
}

/// Gives up all capabilities except for [`KEPT`], for this process and what it starts.
fn drop_capabilities() -> io::Result<()> {
    for number in 0..u64::BITS {
        let one = CapabilitySet::from_bits_retain(1 << number);
        match capability_is_in_bounding_set(one) {
            Ok(true) if !KEPT.contains(one) => remove_capability_from_bounding_set(one)?,
            Ok(_) => {}
            // This number is after the last one that this kernel knows.
            Err(_) => break,
        }
    }
    // Kernels without ambient capabilities have nothing to clear.
    let _ = clear_ambient_capability_set();
    let held = capabilities(None)?.permitted.intersection(KEPT);
    let kept = CapabilitySets {
        effective: held,
        permitted: held,
        inheritable: CapabilitySet::empty(),
    };
    Ok(set_capabilities(None, kept)?)
}
