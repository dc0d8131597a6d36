//! One program for all targets: `CAUSEWAY_FUZZ_TARGET` names the one to run. One for each would be linked ten times.
#![no_main]

use std::sync::OnceLock;

use causeway_fuzz::Target;
use libfuzzer_sys::fuzz_target;

fn chosen() -> Target {
    static CHOSEN: OnceLock<Target> = OnceLock::new();
    *CHOSEN.get_or_init(|| {
        let name = std::env::var("CAUSEWAY_FUZZ_TARGET").unwrap_or_default();
        causeway_fuzz::target(&name).unwrap_or_else(|| panic!("CAUSEWAY_FUZZ_TARGET: no target `{name}`"))
    })
}

fuzz_target!(|input: &[u8]| (chosen().run)(input));
