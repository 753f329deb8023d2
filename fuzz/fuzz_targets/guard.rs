#![no_main]

coldchain_fuzz::fuzz!("guard", 256 << 20);
