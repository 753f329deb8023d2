#![no_main]

coldchain_fuzz::fuzz!("seek_table", 256 << 20);
