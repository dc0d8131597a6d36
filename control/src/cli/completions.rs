//! `causeway completions`.

use std::process::ExitCode;

use clap::Args;
use clap_complete::Shell;

#[derive(Debug, Args)]
pub(super) struct CompletionsArgs {
    /// The shell that is to complete commands
    shell: Shell,
}

pub(super) fn completions(args: &CompletionsArgs, command: &mut clap::Command) -> ExitCode {
    // Into memory first: clap_complete panics where its writer fails.
    let mut script = Vec::new();
    clap_complete::generate(args.shell, command, "causeway", &mut script);
    super::written(
        std::io::Write::write_all(&mut std::io::stdout().lock(), &script).map(|()| ExitCode::SUCCESS),
    )
}
