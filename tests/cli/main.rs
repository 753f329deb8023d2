//! What is typed and what is printed.

#[path = "../common/mod.rs"]
mod common;

mod advised_commands;
mod asked;
mod bad_input;
mod color;
mod command_line;
mod completions;
mod config;
mod costs;
mod doctor;
mod doctor_disk;
mod doctor_here;
mod doctor_outputs;
mod explained;
mod journal;
mod manual;
mod packaging;
mod printed;
mod prompts;
mod report;
mod take_over;
mod transcript;
mod watching;
mod without_store;
