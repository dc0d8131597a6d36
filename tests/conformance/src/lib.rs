//! A black-box battery for HTTP proxies: some hundred promises, each with the section that asks for it or the attack
//! that it stops, run against the built `causeway-proxy`, against its peers, and against mutants of it.
//!
//! The peers check the proxy no more than the battery: a check that all of them fail is suspect, and one that nothing
//! ever fails proves little. So each is meant to be seen failing, on a peer or on a mutant, and `docs/conformance.md`
//! lists those that were not.
//!
//! ```sh
//! cargo run -p causeway-tests-conformance -- run --only 'framing/*'   # our proxy, some checks
//! cargo run -p causeway-tests-conformance -- compare                  # all targets
//! cargo run -p causeway-tests-conformance -- mutants                  # our proxy with faults in it
//! ```
//!
//! | module | what |
//! | --- | --- |
//! | [`check`], [`battery`] | what a check is; all of them |
//! | [`judge`] | how the checks that are data are run |
//! | [`wire`] | HTTP/1.1 and HTTP/2 byte by byte |
//! | [`origin`] | the recording, scripted origin behind each target |
//! | [`target`] | the proxies: configuration and process |
//! | [`run`], [`results`], [`report`] | all checks at once; what came of them; the page |
//! | [`mutants`] | faults put into our proxy |
#![forbid(unsafe_code)]

pub mod battery;
pub mod check;
pub mod judge;
pub mod mutants;
pub mod origin;
pub mod report;
pub mod results;
pub mod run;
pub mod target;
pub mod wire;
