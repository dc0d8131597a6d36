//! The command line: what may be asked for, and who answers.

mod completions;
mod demo;
mod explain;
mod validate;

use std::{ffi::OsString, process::ExitCode};

use clap::{CommandFactory, Parser, Subcommand};

/// Exit code for a command that was understood and whose answer is "no".
const NO: u8 = 1;
/// Exit code for a command that was not understood, as clap and most of Unix have it.
const USAGE: u8 = 2;

/// Multi-cluster layer-7 proxying: check a configuration, see where users go, try it all on one machine.
#[derive(Debug, Parser)]
#[command(name = "causeway", version, propagate_version = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run three clusters, a proxy and 1,000 users on this machine, and break things
    Demo(demo::DemoArgs),
    /// Report every mistake of configuration files at once, and the traffic split that results
    Validate(validate::ValidateArgs),
    /// Tell where a user goes, by the very hash that proxies use
    Explain(explain::ExplainArgs),
    /// Print a completion script for a shell
    Completions(completions::CompletionsArgs),
    /// An upstream of the demo
    #[command(hide = true)]
    Origin(demo::OriginArgs),
    /// The proxy of the demo
    #[command(hide = true)]
    Proxy(demo::ProxyArgs),
}

/// Runs the command that this process was started with.
pub fn main() -> ExitCode {
    run(std::env::args_os())
}

/// Runs a command; the first argument is the program's name.
pub fn run(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let cli = match Cli::try_parse_from(args) {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version are "errors" with exit code 0. A closed pipe is nobody's loss.
            let _ = error.print();
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(USAGE));
        }
    };
    match cli.command {
        Command::Demo(args) => demo::demo(&args),
        Command::Validate(args) => validate::validate(&args, &mut std::io::stdout().lock()),
        Command::Explain(args) => explain::explain(&args, &mut std::io::stdout().lock()),
        Command::Completions(args) => completions::completions(&args, &mut Cli::command()),
        Command::Origin(args) => demo::origin(args),
        Command::Proxy(args) => demo::proxy(args),
    }
}

/// What an answer's exit code is when it could not be written: a reader that has gone (`| head`) has seen
/// what it wanted.
fn written(result: std::io::Result<ExitCode>) -> ExitCode {
    match result {
        Ok(code) => code,
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("causeway: {error}");
            ExitCode::from(NO)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_contradicts_itself_nowhere() {
        Cli::command().debug_assert();
    }

    #[test]
    fn a_wrong_command_line_is_told_apart_from_a_wrong_configuration() {
        for args in
            [vec!["causeway"], vec!["causeway", "validate"], vec!["causeway", "demo", "--rate", "fast"]]
        {
            let error = Cli::try_parse_from(args).expect_err("not a command");
            assert_eq!(error.exit_code(), i32::from(USAGE));
        }
    }

    #[test]
    fn the_proxys_own_flags_reach_the_proxy() {
        let args = ["causeway", "proxy", "--tied", "--config", "dir", "--admin", "127.0.0.1:1"];
        let cli = Cli::try_parse_from(args).expect("a command");
        let Command::Proxy(args) = cli.command else { panic!("not the proxy: {:?}", cli.command) };
        assert!(args.tied);
        assert_eq!(args.args, ["--config", "dir", "--admin", "127.0.0.1:1"]);
    }
}
