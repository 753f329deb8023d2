#![no_main]

coldchain_fuzz::fuzz!("unpack", 256 << 20);
