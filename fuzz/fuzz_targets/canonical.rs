#![no_main]

coldchain_fuzz::fuzz!("canonical", 256 << 20);
