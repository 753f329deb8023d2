#![no_main]

coldchain_fuzz::fuzz!("kit", 256 << 20);
