#![no_main]

coldchain_fuzz::fuzz!("config", 256 << 20);
