//! A filesystem on which nothing more can be made.

use std::fs::{self, File};
use std::path::Path;

use rustix::fs::XattrFlags;

/// Fills a filesystem's metadata until nothing can be named on it: with attributes that fill a block each, then with less
/// and less.
pub fn fill_metadata(directory: &Path) {
    fs::create_dir(directory).unwrap();
    for bytes in [15_000, 2_000, 0] {
        for number in 0.. {
            let file = directory.join(format!("{bytes} {number}"));
            let made = File::create(&file).and_then(|file| {
                let value = vec![1; bytes];
                Ok(rustix::fs::fsetxattr(
                    file,
                    "user.fill",
                    &value,
                    XattrFlags::empty(),
                )?)
            });
            if let Err(error) = made {
                assert_eq!(error.kind(), std::io::ErrorKind::StorageFull);
                break;
            }
        }
    }
}
