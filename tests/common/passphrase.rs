//! What `age -p` makes of a text.

use std::io::Write as _;

use age::secrecy::SecretString;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;

/// The text, encrypted with that passphrase, at once.
pub fn encrypted(passphrase: &str, text: &str) -> Vec<u8> {
    let mut recipient = age::scrypt::Recipient::new(SecretString::from(passphrase));
    recipient.set_work_factor(2);
    let encryptor = age::Encryptor::with_recipients(std::iter::once(&recipient as _)).unwrap();
    let mut sealed = Vec::new();
    let mut writer = encryptor.wrap_output(&mut sealed).unwrap();
    writer.write_all(text.as_bytes()).unwrap();
    writer.finish().unwrap();
    sealed
}

/// The same with `-a`.
pub fn armored(passphrase: &str, text: &str) -> Vec<u8> {
    let base64 = BASE64_STANDARD.encode(encrypted(passphrase, text));
    format!("-----BEGIN AGE ENCRYPTED FILE-----\n{base64}\n-----END AGE ENCRYPTED FILE-----\n")
        .into_bytes()
}
