//! x
use super::stage::family;

#[test]
fn tmp() {
    let machine = family();
    let run = machine.run("report").ok();
    println!("{}{}", run.stdout, run.stderr);
    machine.run("report --html x.html").ok();
    std::fs::copy(machine.path("x.html"), "/tmp/rB/x.html").unwrap();
    std::fs::write("/tmp/rB/x.json", machine.run("report --json").ok().stdout).unwrap();
}
