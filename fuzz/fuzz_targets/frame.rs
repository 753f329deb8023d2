#![no_main]

coldchain_fuzz::fuzz!("frame", 256 << 20);
