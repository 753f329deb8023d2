#![no_main]

coldchain_fuzz::fuzz!("replay", 256 << 20);
