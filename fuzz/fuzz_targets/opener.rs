#![no_main]

coldchain_fuzz::fuzz!("opener", 256 << 20);
