#![no_main]

coldchain_fuzz::fuzz!("ledger", 256 << 20);
