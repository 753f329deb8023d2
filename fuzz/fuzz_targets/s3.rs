#![no_main]

coldchain_fuzz::fuzz!("s3", 256 << 20);
