#![no_main]

coldchain_fuzz::fuzz!("contents", 256 << 20);
